// The form for a warehouse, new or known.

import { useState } from "preact/hooks";
import { saveWarehouse, type Warehouse } from "../data/stock.ts";
import { attempt, Dialog } from "./feedback.tsx";
import { Field } from "./parts.tsx";
import { useShop } from "./shop.ts";

interface Props {
  before: Warehouse | null;
  close: () => void;
  saved?: (id: string) => void;
}

export function WarehouseForm({ before, close, saved }: Props) {
  const shop = useShop();
  const [name, setName] = useState(before?.name ?? "");
  const [address, setAddress] = useState(before?.address ?? "");
  const [discount, setDiscount] = useState(String(before?.discount_percent ?? 0));
  const [tried, setTried] = useState(false);
  const percent = Number(discount);
  const wrongName = name.trim() === "" ? "A warehouse needs a name." : undefined;
  const wrongPercent = discount.trim() !== "" && Number.isInteger(percent) && percent >= 0 && percent <= 100 ? undefined : "A whole number from 0 to 100.";
  const save = async (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (wrongName !== undefined || wrongPercent !== undefined) return;
    const after = { name: name.trim(), address: address.trim(), discount_percent: percent };
    let id = "";
    if (!(await attempt(async () => { id = await saveWarehouse(shop, before, after); }))) return;
    close();
    saved?.(id);
  };
  return (
    <Dialog title={before === null ? "Add warehouse" : "Edit warehouse"} close={close} id="warehouse-form">
      <form class="form" onSubmit={(event) => void save(event)} noValidate>
        <Field label="Name" error={tried ? wrongName : undefined} wide>
          {(id) => <input id={id} value={name} autoFocus onInput={(event) => setName(event.currentTarget.value)} data-testid="warehouse-name" />}
        </Field>
        <Field label="Address" wide>
          {(id) => <input id={id} value={address} onInput={(event) => setAddress(event.currentTarget.value)} />}
        </Field>
        <Field label="Discount in %" hint="Taken off the price of what is sold from here" error={tried ? wrongPercent : undefined}>
          {(id) => <input id={id} value={discount} inputMode="numeric" onInput={(event) => setDiscount(event.currentTarget.value)} data-testid="warehouse-discount" />}
        </Field>
        <div class="dialog-actions wide">
          <button class="button" type="button" onClick={close}>Cancel</button>
          <button class="button primary" type="submit" data-testid="warehouse-save">{before === null ? "Add warehouse" : "Save"}</button>
        </div>
      </form>
    </Dialog>
  );
}
