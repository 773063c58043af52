/**
 * Exchange: starts the parts of an exchange, starts those again that die, and ends them in good order.
 *
 * The parts share nothing with this process: when it dies, their leash ends, and they leave; what they had acknowledged
 * is in the journal. At the end the gateway leaves first, so that nothing new comes in, then the matcher, which finishes
 * what it has, then those who tell of it.
 */
import { EventEmitter } from 'node:events';
import { Crew, type Death } from '../crew/crew.ts';
import { type ExchangeConfig, type Role, readConfig } from './config.ts';
import { END, type PartLine, postOf, ROLES } from './parts.ts';

const LEAVING: readonly Role[] = ['gateway', 'matcher', 'publisher', 'shadow'];

/** How an exchange is started. */
export interface ExchangeOptions {
  /** How often each part says how it is, milliseconds; 1,000. */
  statusMs?: number;
}

interface Events {
  /** A line of a part. */
  line: [line: PartLine];
  /** A line of a part for people. */
  said: [role: string, line: string];
  died: [death: Death];
  /** A part cannot be kept alive. */
  failed: [error: Error];
}

/** The running parts of one exchange. */
export class Exchange extends EventEmitter<Events> {
  readonly config: ExchangeConfig;
  /** For whoever kills its parts. */
  readonly crew = new Crew<PartLine>();
  readonly #file: string;
  readonly #statusMs: number;
  readonly #latest = new Map<Role, PartLine>();
  readonly #ready = new Map<Role, PartLine>();

  /**
   * Reads the config in `file`; nothing is started yet.
   *
   * @throws TailraceError as `readConfig`.
   */
  constructor(file: string, { statusMs = 1_000 }: ExchangeOptions = {}) {
    super();
    this.config = readConfig(file);
    this.#file = file;
    this.#statusMs = statusMs;
    this.crew.on('report', (_, __, line) => {
      (line.report === 'ready' ? this.#ready : this.#latest).set(line.role, line);
      this.emit('line', line);
    });
    this.crew.on('said', ({ name }, line) => this.emit('said', name, line));
    this.crew.on('died', (_, death) => this.emit('died', death));
    this.crew.on('failed', (error) => this.emit('failed', error));
  }

  /** Starts the parts; resolves when all are ready, or `signal` is aborted. */
  async start(signal: AbortSignal): Promise<void> {
    for (const role of ROLES) {
      if (signal.aborted) return;
      await this.crew.fill(postOf(role, this.#file, this.#statusMs), signal);
    }
  }

  /**
   * Ends the parts in good order, and with them the session of the feed, unless `isOver` is false: then it goes on when
   * the exchange is started again, and its readers wait for that.
   */
  async stop(isOver = true): Promise<void> {
    const word = isOver ? END : undefined;
    for (const role of LEAVING) {
      for (const member of this.crew.members.filter(({ name }) => name === role)) await this.crew.dismiss(member, word);
    }
  }

  /** What a part has said of itself last; undefined before its first word. */
  status(role: Role): PartLine | undefined {
    return this.#latest.get(role);
  }

  /** Where a part listens, as it said when it was ready. */
  address(role: Role): string | undefined {
    return this.#ready.get(role)?.listen;
  }
}
