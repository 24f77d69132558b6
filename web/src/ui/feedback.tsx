// What the app says back: short notices, and questions before what can't be undone.

import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icons.tsx";

interface Notice {
  id: number;
  text: string;
  bad: boolean;
}

interface Question {
  title: string;
  body: string;
  yes: string;
  danger?: boolean;
  answer: (yes: boolean) => void;
}

/** More notices than this push the oldest out. */
const NOTICE_LIMIT = 3;
const NOTICE_MS = 4000;
const BAD_NOTICE_MS = 12_000;

const bus = new EventTarget();
let lastId = 0;

/** Says something in passing. */
export function notify(text: string, bad = false): void {
  bus.dispatchEvent(new CustomEvent("notice", { detail: { id: ++lastId, text, bad } satisfies Notice }));
}

/** Asks, and resolves with the answer; Escape is no. */
export function ask(question: Omit<Question, "answer">): Promise<boolean> {
  return new Promise((answer) => bus.dispatchEvent(new CustomEvent("question", { detail: { ...question, answer } satisfies Question })));
}

/** Runs a command and says when it failed. Answers whether it worked. */
export async function attempt(command: () => Promise<unknown>): Promise<boolean> {
  try {
    await command();
    return true;
  } catch (error) {
    notify(error instanceof Error ? error.message : String(error), true);
    return false;
  }
}

export function Feedback() {
  const [notices, setNotices] = useState<Notice[]>([]);
  const [question, setQuestion] = useState<Question | null>(null);
  useEffect(() => {
    const drop = (id: number) => setNotices((all) => all.filter((notice) => notice.id !== id));
    const heard = (event: Event) => {
      const { detail } = event as CustomEvent<Notice>;
      setNotices((all) => [...all, detail].slice(-NOTICE_LIMIT));
      setTimeout(() => drop(detail.id), detail.bad ? BAD_NOTICE_MS : NOTICE_MS);
    };
    const asked = (event: Event) => setQuestion((event as CustomEvent<Question>).detail);
    bus.addEventListener("notice", heard);
    bus.addEventListener("question", asked);
    return () => {
      bus.removeEventListener("notice", heard);
      bus.removeEventListener("question", asked);
    };
  }, []);
  const answer = (yes: boolean) => {
    question?.answer(yes);
    setQuestion(null);
  };
  return (
    <>
      <div class="notices" role="status" aria-live="polite">
        {notices.map((notice) => (
          <p key={notice.id} class={notice.bad ? "notice bad" : "notice"} data-testid="notice">
            {notice.text}
          </p>
        ))}
      </div>
      {question !== null && (
        <Dialog title={question.title} close={() => answer(false)} id="confirm">
          <p>{question.body}</p>
          <div class="dialog-actions">
            <button class="button" type="button" onClick={() => answer(false)} data-testid="confirm-no">
              Cancel
            </button>
            <button class={question.danger ? "button danger" : "button primary"} type="button" onClick={() => answer(true)} data-testid="confirm-yes">
              {question.yes}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** A modal dialog: the browser keeps the focus inside and gives it back. */
export function Dialog(props: { title: string; close: () => void; id: string; children: preact.ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog ref={element} class="dialog" onClose={props.close} aria-labelledby={`${props.id}-title`} data-testid={props.id}>
      <header>
        <h2 id={`${props.id}-title`}>{props.title}</h2>
        <button class="button quiet" type="button" aria-label="Close" onClick={props.close}>
          <Icon name="close" />
        </button>
      </header>
      {props.children}
    </dialog>
  );
}
