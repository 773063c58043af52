/**
 * Paper: what a command prints on. A table for people on a terminal, one line of tab-separated values for each item
 * when somebody else reads, and one JSON object a line when that was asked for.
 *
 * Colours say nothing that words do not say, and NO_COLOR turns them off.
 */

/** One column of a table: what a program reads, and what people read. */
export interface Column<Item> {
  title: string;
  value(item: Item): string | number | bigint | boolean | null;
  /** What people read instead. */
  text?(item: Item): string;
  color?(item: Item): Color | undefined;
}

export type Color = 'red' | 'yellow' | 'green' | 'dim' | 'bold';

const COLORS: Record<Color, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

/** Where a command prints. */
export class Paper {
  readonly isTerminal: boolean;
  readonly isJson: boolean;
  /** Whether this command goes on when nobody reads what it prints. */
  outlivesReader = false;
  readonly #isColored: boolean;
  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream, isJson: boolean) {
    this.#stream = stream;
    this.isJson = isJson;
    this.isTerminal = stream.isTTY === true && !isJson;
    this.#isColored = this.isTerminal && !process.env.NO_COLOR;
    // Who reads may leave at any time: that is no error.
    stream.on('error', () => {
      if (!this.outlivesReader) process.exit(0);
    });
  }

  /** Prints a line as it is. */
  line(text = ''): void {
    this.#stream.write(`${text}\n`);
  }

  /** Prints a line that only people read. */
  remark(text: string, color?: Color): void {
    if (this.isTerminal) this.line(color ? this.paint(text, color) : text);
  }

  /** Prints a line in the place of the last one, as far as it fits. */
  live(text: string, color?: Color): void {
    const shown = text.slice(0, Math.max(1, (this.#stream.columns || 80) - 1));
    this.#stream.write(`\r\u001B[K${color ? this.paint(shown, color) : shown}`);
  }

  /** Prints one JSON object. */
  json(item: unknown): void {
    this.line(JSON.stringify(item, (_, value) => (typeof value === 'bigint' ? String(value) : value)));
  }

  /** Colours a text, where there are colours. */
  paint(text: string, color: Color): string {
    return this.#isColored ? `\u001B[${COLORS[color]}m${text}\u001B[0m` : text;
  }

  /** Prints items, each in the form that its reader wants; `table` tells the items of several tables apart. */
  table<Item>(columns: Column<Item>[], items: readonly Item[], table?: string): void {
    if (this.isJson) {
      for (const item of items) this.json(table ? { table, ...item } : item);
    } else if (this.isTerminal) {
      this.#aligned(columns, items);
    } else {
      for (const item of items) {
        const values = columns.map((column) => plain(column.value(item)));
        this.line((table ? [table, ...values] : values).join('\t'));
      }
    }
  }

  /** Prints a table below another one, if there is anything in it. */
  further<Item>(columns: Column<Item>[], items: readonly Item[], table: string): void {
    if (items.length === 0) return;
    this.remark('');
    this.table(columns, items, table);
  }

  #aligned<Item>(columns: Column<Item>[], items: readonly Item[]): void {
    const texts = items.map((item) => columns.map((column) => column.text?.(item) ?? plain(column.value(item))));
    const widths = columns.map(({ title }, index) => Math.max(title.length, ...texts.map((row) => row[index]!.length)));
    const isNumeric = columns.map((column) => items.some((item) => typeof column.value(item) === 'number'));
    const pad = (text: string, index: number) =>
      isNumeric[index] ? text.padStart(widths[index]!) : text.padEnd(widths[index]!);
    this.line(
      this.paint(
        columns
          .map(({ title }, index) => pad(title, index))
          .join('  ')
          .trimEnd(),
        'dim',
      ),
    );
    for (const [row, item] of items.entries()) {
      const cells = columns.map((column, index) => {
        const cell = pad(texts[row]![index]!, index);
        const color = column.color?.(item);
        return color ? this.paint(cell, color) : cell;
      });
      this.line(cells.join('  ').trimEnd());
    }
  }
}

function plain(value: string | number | bigint | boolean | null): string {
  // Labels and names come from shared memory: what they hold must not end a line or a field, or move a cursor.
  return value === null ? '-' : printable(String(value));
}

/** A text without control characters. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '\uFFFD');
}

/** 12345678 as 12.3 M. */
export function short(count: number): string {
  const units = ['', ' k', ' M', ' G', ' T'];
  let unit = 0;
  let value = count;
  for (; value >= 1_000 && unit < units.length - 1; unit += 1) value /= 1_000;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)}${units[unit]}`;
}

/** Bytes, in powers of 1,024. */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1_024 && unit < units.length - 1; unit += 1) value /= 1_024;
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Milliseconds, in a unit that fits. */
export function age(ms: number | null): string {
  if (ms === null) return '-';
  if (ms < 1) return `${Math.round(ms * 1_000)} us`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}
