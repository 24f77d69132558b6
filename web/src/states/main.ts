// The page that shows the footer in all its states at once. `?open=NAME` opens one panel, `?theme=dark` sets the colours.

import "greenlight-footer";
import "../styles/tokens.css";
import "../styles/states.css";
import { SAMPLES, sampleClient } from "./samples.ts";

const parameters = new URLSearchParams(location.search);
const theme = parameters.get("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset["theme"] = theme;

const title = document.createElement("h1");
title.textContent = "The light";
const lead = document.createElement("p");
lead.className = "lead";
lead.textContent = "Six states, each with its own shape, word and sentence. Press one for its details.";
const grid = document.createElement("div");
grid.className = "grid";
const main = document.createElement("main");

for (const { name, status } of SAMPLES) {
  const card = document.createElement("section");
  const heading = document.createElement("h2");
  heading.textContent = name;
  const footer = document.createElement("sync-footer");
  footer.dataset["testid"] = `sample-${name}`;
  footer.client = sampleClient(status);
  card.append(heading, footer);
  grid.append(card);
}
main.append(title, lead, grid);
document.body.append(main);

const open = parameters.get("open");
if (open !== null) document.querySelector<HTMLElementTagNameMap["sync-footer"]>(`[data-testid="sample-${CSS.escape(open)}"]`)?.show();
