// The way in: colours, keys, the database, then the app; or a page that says why not.

import { GreenlightError } from "greenlight-client";
import { render } from "preact";
import "./styles/tokens.css";
import "./styles/shell.css";
import "./styles/controls.css";
import "./styles/lists.css";
import "./styles/pages.css";
import "./styles/print.css";
import { listenToKeys } from "./keys.ts";
import { openShop } from "./session.ts";
import { apply, theme } from "./theme.ts";
import { App } from "./ui/App.tsx";

const root = document.getElementById("app")!;

async function start(inMemory: boolean): Promise<void> {
  root.replaceChildren();
  try {
    const shop = await openShop(inMemory ? { memory: "always" } : {});
    render(<App shop={shop} />, root);
  } catch (error) {
    console.error(error);
    render(<Trouble error={error} inMemory={() => void start(true)} />, root);
  }
}

/** What a person can do when the database doesn't open, by the client's error code. */
const ADVICE: Record<string, string> = {
  opfs_unavailable: "This browser, or this private window, gives pages no place for files. Use a current browser in a normal window, or go on in memory: what the server has not confirmed is then lost with the tab.",
  storage_full: "The disk or this browser’s share of it is full. Free some space and reload.",
  schema: "The database on this device doesn’t fit this version of the app. Reload; if that doesn’t help, ask whoever runs the shop.",
};

function Trouble({ error, inMemory }: { error: unknown; inMemory: () => void }) {
  const code = error instanceof GreenlightError ? error.code : "unknown";
  return (
    <main class="trouble" data-testid="trouble" data-code={code}>
      <h1>The shop doesn’t open</h1>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {ADVICE[code] !== undefined && <p>{ADVICE[code]}</p>}
      <p class="trouble-actions">
        <button class="button primary" type="button" onClick={() => location.reload()}>Reload</button>
        {code === "opfs_unavailable" && (
          <button class="button" type="button" onClick={inMemory} data-testid="use-memory">Go on in memory</button>
        )}
      </p>
    </main>
  );
}

apply(theme());
listenToKeys();
void start(false);
