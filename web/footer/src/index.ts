// The package's way in: importing it defines <sync-footer>, once, and only where there is a page.

import { SyncFooter } from "./element.js";

export { SyncFooter };
export { ENGLISH, type Texts } from "./texts.js";
export type { BundleInfo, Diagnostics, FooterClient, Progress, Remedy, State, Status, StatusSource } from "./status.js";

if (typeof customElements !== "undefined" && customElements.get("sync-footer") === undefined) {
  customElements.define("sync-footer", SyncFooter);
}
