/**
 * Canvas: a picture on a terminal, drawn over itself; one plain line a second where there is no terminal.
 *
 * What processes have to say to people is printed above it. Colours only on a terminal, and not with NO_COLOR.
 */

/** Where a picture can be drawn. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const STYLES = { plain: 0, dim: 2, bad: 31, warn: 33 };

/** One line of a picture. */
export interface StyledLine {
  style: keyof typeof STYLES;
  text: string;
}

/** Draws pictures over each other. */
export class Canvas {
  readonly isLive: boolean;
  readonly #isColoured: boolean;
  #height = 0;
  #saidSecond = 0;

  constructor(
    readonly screen: Screen,
    environment: Record<string, string | undefined> = process.env,
  ) {
    this.isLive = screen.isTTY === true && environment.TERM !== 'dumb';
    this.#isColoured = this.isLive && !environment.NO_COLOR;
  }

  /** Prints a line that stays, above the picture. */
  say(line: string): void {
    this.#clear();
    this.screen.write(`${line}\n`);
  }

  /** Draws a picture in the place of the last one. */
  draw(lines: readonly StyledLine[]): void {
    const width = Math.max(20, (this.screen.columns ?? 100) - 1);
    const styled = lines.map((line) => this.#styled(line, width));
    this.#clear();
    this.screen.write(`${styled.join('\n')}\n`);
    this.#height = styled.length;
  }

  /** Without a terminal: prints a line when a second has begun that had none. */
  tick(seconds: number, line: () => string): void {
    const second = Math.floor(seconds);
    if (second > this.#saidSecond) this.screen.write(`${line()}\n`);
    this.#saidSecond = Math.max(second, this.#saidSecond);
  }

  /** Leaves the last picture standing. */
  end(): void {
    this.#height = 0;
  }

  #clear(): void {
    if (this.#height > 0) this.screen.write(`\u001b[${this.#height}F\u001b[J`);
    this.#height = 0;
  }

  #styled(line: StyledLine, width: number): string {
    const text = line.text.length > width ? `${line.text.slice(0, width - 1)}…` : line.text;
    const code = STYLES[line.style];
    return this.#isColoured && code !== 0 ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

/** A count, with separators. */
export function number(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A total, with as many digits as matter. */
export function total(value: number): string {
  return value < 1e6 ? number(value) : `${(value / 1e6).toFixed(value < 1e9 ? 2 : 0)} M`;
}
