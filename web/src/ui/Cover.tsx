// A cover for every book, drawn from its ISBN: the same on every device, without a picture to load.

const PALETTES: [ground: string, figure: string, ink: string][] = [
  ["#22315e", "#e9b44c", "#f7f3e8"],
  ["#7a2e3a", "#f0c9a4", "#fbf1e6"],
  ["#1f5f5b", "#f2d388", "#eef6f0"],
  ["#e6d5b8", "#b3502f", "#2b2a28"],
  ["#3f3a7d", "#f28f79", "#f6f2ff"],
  ["#d9e2ec", "#2f5d8a", "#16263a"],
  ["#2d2f36", "#8fb8c9", "#f2f2f0"],
  ["#efc7c2", "#7d3c58", "#2c1b22"],
  ["#4c6b3c", "#f0e3b2", "#f7f6ea"],
];

/** Figures of a cover 60 wide and 88 high. */
const FIGURES = [
  "M0 58h60v8H0zM0 70h60v3H0z",
  "M30 50a15 15 0 1 1 0 30 15 15 0 0 1 0-30Z",
  "M0 88 30 52l30 36z",
  "M6 50h48v32H6zM10 54v24h40V54z",
  "M0 66c10-9 20-9 30 0s20 9 30 0v22H0z",
  "M8 50h6v38H8zM20 58h6v30h-6zM32 52h6v36h-6zM44 62h6v26h-6z",
  "M30 48 42 66 30 84 18 66z",
];

function hash(text: string): number {
  let value = 2166136261;
  for (const letter of text) value = Math.imul(value ^ letter.charCodeAt(0), 16777619);
  return value >>> 0;
}

export function Cover({ isbn, title, authors, large = false }: { isbn: string; title?: string | null; authors?: string | null; large?: boolean }) {
  const seed = hash(isbn);
  const [ground, figure, ink] = PALETTES[seed % PALETTES.length]!;
  return (
    <span class={large ? "cover large" : "cover"} style={{ color: ink, backgroundColor: ground }} aria-hidden="true">
      <svg viewBox="0 0 60 88" preserveAspectRatio="none">
        <path d={FIGURES[(seed >>> 8) % FIGURES.length]!} fill={figure} fill-rule="evenodd" />
      </svg>
      {large && <b>{title}</b>}
      {large && <i>{authors}</i>}
    </span>
  );
}
