// The page that the tests drive: the package as a page without a bundler imports it.

import * as greenlight from "/dist/index.js";

globalThis.greenlight = greenlight;
