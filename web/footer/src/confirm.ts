// A modal question inside the footer's shadow root, for what can't be undone.
// Native <dialog>: the focus stays inside, Escape means no, and the focus returns to where it was.

import { make } from "./dom.js";

export interface Question {
  title: string;
  paragraphs: string[];
  yes: string;
  no: string;
  /** Something that may be ticked. */
  choice?: string;
  /** Prefix of the test ids of the dialog and its two buttons. */
  id: string;
}

/** Asks, and resolves with whether the answer was yes. */
export async function confirm(root: ShadowRoot, question: Question): Promise<boolean> {
  return (await ask(root, question)) !== null;
}

/** Asks, and resolves with what was ticked, or null for no. The dialog leaves no trace. */
export function ask(root: ShadowRoot, question: Question): Promise<{ chosen: boolean } | null> {
  return new Promise((resolve) => {
    const tick = make("input", { type: "checkbox", "data-testid": `${question.id}-choice` });
    const close = (answer: string) => () => dialog.close(answer);
    const title = make("h2", { id: "question" }, question.title);
    const dialog = make(
      "dialog",
      { "aria-labelledby": "question", "data-testid": question.id, part: "dialog" },
      title,
      ...question.paragraphs.map((text) => make("p", {}, text)),
      ...(question.choice === undefined ? [] : [make("label", { class: "choice" }, tick, make("span", {}, question.choice))]),
      make(
        "div",
        { class: "actions" },
        make("button", { class: "action", autofocus: true, click: close("no"), "data-testid": `${question.id}-no` }, question.no),
        make("button", { class: "action danger first", click: close("yes"), "data-testid": `${question.id}-yes` }, question.yes),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? { chosen: tick.checked } : null);
    });
    root.append(dialog);
    dialog.showModal();
  });
}
