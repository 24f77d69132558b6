// Asks for the token when the server no longer takes the one that is here. Nothing else is touched.

import { useEffect, useState } from "preact/hooks";
import { setToken, token } from "../session.ts";
import { attempt, Dialog } from "./feedback.tsx";
import { Field } from "./parts.tsx";
import { useShop } from "./shop.ts";

export function SignIn() {
  const shop = useShop();
  const [open, setOpen] = useState(false);
  const [value, setValue] = useState("");
  useEffect(() => {
    const asked = () => {
      setValue(token());
      setOpen(true);
    };
    addEventListener("sign-in", asked);
    return () => removeEventListener("sign-in", asked);
  }, []);
  if (!open) return null;
  const save = async (event: Event) => {
    event.preventDefault();
    setToken(value.trim());
    setOpen(false);
    await attempt(() => shop.retry());
  };
  return (
    <Dialog title="Sign in" close={() => setOpen(false)} id="sign-in">
      <form class="form" onSubmit={(event) => void save(event)}>
        <Field label="Token" hint="From whoever runs the server. It stays in this browser." wide>
          {(id) => <input id={id} value={value} autoFocus autocomplete="off" onInput={(event) => setValue(event.currentTarget.value)} data-testid="sign-in-token" />}
        </Field>
        <div class="dialog-actions wide">
          <button class="button" type="button" onClick={() => setOpen(false)}>Cancel</button>
          <button class="button primary" type="submit" data-testid="sign-in-save">Sign in</button>
        </div>
      </form>
    </Dialog>
  );
}
