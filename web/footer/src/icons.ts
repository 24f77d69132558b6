// The light's six shapes. Each differs in outline, so the state is told without colour.

import type { State } from "./status.js";

const NAMESPACE = "http://www.w3.org/2000/svg";

type Shape = { fill?: boolean; d: string; ink?: boolean };

// On a 16 by 16 grid. `fill` shapes are solid, the others are strokes; `ink` is drawn on top in the background's colour.
const SHAPES: Record<State, Shape[]> = {
  // A full disc with a tick.
  synced: [{ fill: true, d: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Z" }, { ink: true, d: "M4.9 8.3l2.1 2.1 4.1-4.6" }],
  // A ring with an arrow that leaves.
  syncing: [{ d: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8Z" }, { d: "M8 10.8V5.4M5.6 7.6 8 5.2l2.4 2.4" }],
  // Three quarters of a ring around a dot.
  connecting: [{ d: "M8 1.8a6.2 6.2 0 1 1-6.2 6.2" }, { fill: true, d: "M8 5.6a2.4 2.4 0 1 1 0 4.8 2.4 2.4 0 0 1 0-4.8Z" }],
  // A ring struck through.
  disconnected: [{ d: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8Z" }, { d: "M3.7 12.3l8.6-8.6" }],
  // A warning triangle.
  stuck: [{ fill: true, d: "M7.1 1.6a1 1 0 0 1 1.8 0l6.3 11.6a1 1 0 0 1-.9 1.5H1.7a1 1 0 0 1-.9-1.5Z" },
    { ink: true, d: "M8 6v3.6M8 12v.1" }],
  // A square with a cross.
  incompatible: [{ fill: true, d: "M3.2 1.4h9.6a1.8 1.8 0 0 1 1.8 1.8v9.6a1.8 1.8 0 0 1-1.8 1.8H3.2a1.8 1.8 0 0 1-1.8-1.8V3.2a1.8 1.8 0 0 1 1.8-1.8Z" },
    { ink: true, d: "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8" }],
};

/** The state's shape as an SVG that takes the colour of the text around it. Decorative: the words beside it say the same. */
export function icon(state: State): SVGSVGElement {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("part", "icon");
  for (const shape of SHAPES[state]) {
    const path = document.createElementNS(NAMESPACE, "path");
    path.setAttribute("d", shape.d);
    path.setAttribute("class", shape.fill ? "solid" : shape.ink ? "stroke ink" : "stroke");
    svg.append(path);
  }
  return svg;
}
