// The frame of the app: navigation, the page, the light at the bottom.

import type { Greenlight } from "greenlight-client";
import "greenlight-footer";
import type { SyncFooter } from "greenlight-footer";
import { useEffect, useRef, useState } from "preact/hooks";
import { keepOffline } from "../offline.ts";
import { BookPage } from "../pages/BookPage.tsx";
import { Books } from "../pages/Books.tsx";
import { NotePage } from "../pages/NotePage.tsx";
import { Notes } from "../pages/Notes.tsx";
import { Today } from "../pages/Today.tsx";
import { WarehousePage } from "../pages/WarehousePage.tsx";
import { Warehouses } from "../pages/Warehouses.tsx";
import { nextTheme, setTheme, theme } from "../theme.ts";
import { Feedback } from "./feedback.tsx";
import { FirstSync, useStatus } from "./FirstSync.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { Empty, Head } from "./parts.tsx";
import { href, type Route, useRoute } from "./router.ts";
import { Shop } from "./shop.ts";
import { SignIn } from "./SignIn.tsx";

declare module "preact" {
  namespace JSX {
    interface IntrinsicElements {
      "sync-footer": import("preact").HTMLAttributes<SyncFooter>;
    }
  }
}

const PLACES: { path: string[]; icon: IconName; text: string; also: string[] }[] = [
  { path: [], icon: "today", text: "Today", also: [] },
  { path: ["books"], icon: "books", text: "Books", also: ["book"] },
  { path: ["warehouses"], icon: "stock", text: "Stock", also: ["warehouse"] },
  { path: ["inbound"], icon: "inbound", text: "Inbound", also: [] },
  { path: ["outbound"], icon: "outbound", text: "Outbound", also: [] },
];

export function App({ shop }: { shop: Greenlight }) {
  const route = useRoute();
  return (
    <Shop.Provider value={shop}>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        To the page
      </a>
      <div class="shell">
        <Rail route={route} />
        <main id="main" tabIndex={-1}>
          <NewBuild />
          <MemoryOnly />
          <FirstSync />
          <Page key={route.path.join("/")} route={route} />
        </main>
      </div>
      <Light shop={shop} />
      <SignIn />
      <Feedback />
    </Shop.Provider>
  );
}

function Page({ route }: { route: Route }) {
  const [place, id] = route.path;
  useEffect(() => scrollTo({ top: 0 }), []);
  if (place === undefined) return <Today />;
  if (place === "books") return <Books />;
  if (place === "book" && id !== undefined) return <BookPage isbn={id} />;
  if (place === "warehouses") return <Warehouses />;
  if (place === "warehouse" && id !== undefined) return <WarehousePage id={id} />;
  if (place === "inbound" || place === "outbound") return id === undefined ? <Notes kind={place} /> : <NotePage kind={place} id={id} />;
  return (
    <>
      <Head title="No such page" />
      <Empty icon="search" title="There is nothing at this address">
        <p><a href={href()}>Back to today</a></p>
      </Empty>
    </>
  );
}

function Rail({ route }: { route: Route }) {
  const [chosen, setChosen] = useState(theme());
  const here = route.path[0];
  const turn = () => {
    const next = nextTheme(chosen);
    setTheme(next);
    setChosen(next);
  };
  return (
    <header class="rail">
      <a class="brand" href={href()}>
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M16 9c-3-2.2-6.5-3-11-2.8v17c4.5-.2 8 .6 11 2.8 3-2.2 6.5-3 11-2.8v-17C22.5 6 19 6.8 16 9Z" class="pages" />
          <path d="M16 9v17" class="spine" />
          <path d="M20.5 6.9v9l2.3-1.8 2.3 1.8V6.2c-1.7 0-3.2.2-4.6.7Z" class="ribbon" />
        </svg>
        Colophon
      </a>
      <nav aria-label="Main">
        {PLACES.map(({ path, icon, text, also }) => {
          const current = here === path[0] || (here !== undefined && also.includes(here));
          return (
            <a key={text} href={href(...path)} aria-current={current ? "page" : undefined} data-testid={`nav-${text.toLowerCase()}`}>
              <Icon name={icon} />
              <span>{text}</span>
            </a>
          );
        })}
      </nav>
      <button class="theme" type="button" onClick={turn} data-testid="theme" title={`Colours: ${chosen}`}>
        <Icon name={chosen === "auto" ? "auto" : chosen === "light" ? "sun" : "moon"} />
        <span>{chosen === "auto" ? "System colours" : chosen === "light" ? "Light colours" : "Dark colours"}</span>
      </button>
    </header>
  );
}

function Light({ shop }: { shop: Greenlight }) {
  const footer = useRef<SyncFooter>(null);
  useEffect(() => {
    if (footer.current !== null) footer.current.client = shop;
  }, [shop]);
  return <sync-footer ref={footer} class="light" data-testid="sync-footer" />;
}

function NewBuild() {
  const [takeOver, setTakeOver] = useState<(() => void) | null>(null);
  useEffect(() => {
    // Without it the app works, only not offline: worth a line in the console, not an error on the page.
    keepOffline((run) => setTakeOver(() => run)).catch((error: unknown) => console.warn("The app is not kept for offline use.", error));
  }, []);
  if (takeOver === null) return null;
  return (
    <p class="banner" data-testid="new-build">
      A newer version of this app is ready.
      <button class="button" type="button" onClick={takeOver}>Reload</button>
    </p>
  );
}

function MemoryOnly() {
  const { diagnostics } = useStatus();
  if (!diagnostics.memory) return null;
  return (
    <p class="banner warn" role="alert" data-testid="memory-only">
      This browser can’t keep the database, so it is held in memory and ends with this tab. What the light calls pending would be lost.
    </p>
  );
}
