// Line icons on a 20 by 20 grid, drawn for this app. Decorative: there are always words beside or behind them.

const PATHS = {
  today: "M3 16.5h14M5 16.5v-5M10 16.5V4M15 16.5V8",
  books: "M4 3.5h3v13H4zM7 3.5h3.5v13H7zM10.8 5l3-.9 3.2 12-3 .9z",
  stock: "M3 17V3M17 17V3M3 8.5h14M3 14.5h14M6 8.5V5h3v3.5M11 14.5V11h3.5v3.5",
  inbound: "M10 2.5v9M6.5 8l3.5 3.5L13.5 8M3 11.5v5.5h14v-5.5",
  outbound: "M10 11.5v-9M6.5 6 10 2.5 13.5 6M3 11.5v5.5h14v-5.5",
  search: "M8.5 3a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM12.6 12.6 17 17",
  plus: "M10 4v12M4 10h12",
  edit: "M4 16l.8-3.4L13.2 4.2l2.6 2.6L7.4 15.2zM11.5 6l2.5 2.5",
  trash: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.8 11h7.4l.8-11",
  close: "M5 5l10 10M15 5 5 15",
  back: "M12 4.5 6.5 10l5.5 5.5",
  next: "M8 4.5l5.5 5.5L8 15.5",
  print: "M6 7V3h8v4M5 14H3V7.5h14V14h-2M6 11.5h8V17H6z",
  sun: "M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7ZM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1",
  moon: "M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5Z",
  auto: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14ZM10 3v14M10 5.5l4 2M10 10h6M10 14.5l4-2",
  check: "M4 10.5l4 4 8-9",
  scan: "M3 6V3h3M14 3h3v3M17 14v3h-3M6 17H3v-3M6 7v6M9 7v6M11.5 7v6M14 7v6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
