/**
 * Checks: what can be wrong with a machine. Each says how it is, why that matters, and what to do about it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { availableParallelism, release, userInfo } from 'node:os';
import { join } from 'node:path';
import { TailraceError } from '../error.ts';
import { LAYOUT_HASH } from '../generated/layout.ts';
import { backend, native } from '../native.ts';
import { size } from './paper.ts';
import { SHARED_MEMORY } from './places.ts';

/** How a check ended. */
export type Verdict = 'ok' | 'warn' | 'fail';

/** What one check found. */
export interface Finding {
  id: string;
  verdict: Verdict;
  /** What was seen. */
  seen: string;
  /** Why it matters; empty when all is well. */
  why: string;
  /** What to do; empty when all is well. */
  advice: string;
}

const ROOMY_BYTES = 64 * 1024 * 1024;

/** All is well. */
export function ok(id: string, seen: string): Finding {
  return { id, verdict: 'ok', seen, why: '', advice: '' };
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

function platform(): Finding {
  const seen = `${process.platform}-${process.arch}, Node ${process.versions.node}, ${availableParallelism()} processors`;
  if (process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)) return ok('platform', seen);
  const why = 'regions are mapped files with Linux locks and futexes';
  return { id: 'platform', verdict: 'fail', seen, why, advice: 'run on Linux, x86-64 or arm64' };
}

function addon(): Finding[] {
  try {
    const { name, file, tried } = backend();
    if (name === 'native') return [ok('backend', 'native'), ok('addon', file)];
    const seen = tried.join(' · ');
    const used = ok('backend', `wasm, ${file}, because: ${seen}`);
    if (process.env.TAILRACE_BACKEND === 'wasm') return [used, ok('addon', 'not looked for')];
    return [used, withoutAddon(seen, 'regions in files and logs need it; the rest runs in WebAssembly')];
  } catch (error) {
    const seen = error instanceof Error ? error.message : String(error);
    return [withoutAddon(seen, 'nothing works without the native library or the WebAssembly module')];
  }
}

function withoutAddon(seen: string, why: string): Finding {
  const advice = 'install the package for this platform again, or build it: npm run build';
  return { id: 'addon', verdict: 'fail', seen, why, advice };
}

/** Layout hashes: this package's, the library's, and those of the other languages that are installed. */
function layouts(): Finding[] {
  const hex = (hash: number) => `0x${hash.toString(16).padStart(8, '0')}`;
  const why = 'programs with another layout refuse to open each other’s regions (ERR_VERSION)';
  const judge = (language: string, hash: number | undefined): Finding => {
    const id = `layout.${language}`;
    if (hash === undefined) return ok(id, 'not installed here');
    if (hash === LAYOUT_HASH) return ok(id, hex(hash));
    const seen = `${hex(hash)}, and ${hex(LAYOUT_HASH)} in TypeScript`;
    return { id, verdict: 'fail', seen, why, advice: 'install the same version everywhere' };
  };
  let library: number | undefined;
  try {
    library = native().layoutHashOfLibrary();
  } catch {
    // The check of the addon says why.
  }
  return [judge('typescript', LAYOUT_HASH), judge('rust', library), judge('python', pythonHash())];
}

function pythonHash(): number | undefined {
  const python = process.env.TAILRACE_PYTHON ?? 'python3';
  const program = 'from tailrace._generated.layout import LAYOUT_HASH; print(LAYOUT_HASH)';
  const { status, stdout } = spawnSync(python, ['-c', program], { encoding: 'utf8', timeout: 10_000 });
  return status === 0 ? Number(stdout.trim()) : undefined;
}

function sharedMemory(): Finding {
  const id = 'shared-memory';
  const why = 'a region needs all of its storage when it is made, and gets ERR_NO_SPACE when there is none';
  if (!existsSync(SHARED_MEMORY)) {
    const advice = 'mount a tmpfs there, or give paths on another file system';
    return { id, verdict: 'warn', seen: `there is no ${SHARED_MEMORY}`, why, advice };
  }
  const { bsize, blocks, bavail } = statfsSync(SHARED_MEMORY);
  const [free, total] = [bavail * bsize, blocks * bsize];
  const seen = `${size(free)} free of ${size(total)} in ${SHARED_MEMORY}`;
  if (free >= ROOMY_BYTES) return ok(id, seen);
  const advice = `mount -o remount,size=1g ${SHARED_MEMORY} (in a container: --shm-size=1g), or remove regions`;
  return { id, verdict: 'warn', seen, why, advice };
}

function removeIpc(): Finding {
  const id = 'remove-ipc';
  if (!existsSync('/run/systemd/seats')) return ok(id, 'no systemd-logind is running');
  const folder = '/etc/systemd/logind.conf.d';
  const parts = existsSync(folder)
    ? readdirSync(folder)
        .sort()
        .map((name) => join(folder, name))
    : [];
  const settings = ['/etc/systemd/logind.conf', ...parts].map(text).join('\n');
  const told = [...settings.matchAll(/^RemoveIPC=(\S+)/gm)].at(-1)?.[1]?.toLowerCase() ?? 'yes';
  const isOff = ['no', 'false', 'off', '0'].includes(told);
  if (isOff || userInfo().uid < 1_000) return ok(id, isOff ? 'RemoveIPC=no' : 'this is a system user');
  return {
    id,
    verdict: 'warn',
    seen: `RemoveIPC=${told}`,
    why: `logind removes a user's files in ${SHARED_MEMORY} when the last session of that user ends`,
    advice: 'set RemoveIPC=no in /etc/systemd/logind.conf, run as a system user, or loginctl enable-linger',
  };
}

function limits(): Finding[] {
  const lines = text('/proc/self/limits').split('\n');
  const limit = (name: string) => {
    const [soft = 'unlimited'] =
      lines
        .find((line) => line.startsWith(name))
        ?.slice(26)
        .trim()
        .split(/\s+/) ?? [];
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  };
  const say = (value: number, form: (value: number) => string) => (Number.isFinite(value) ? form(value) : 'unlimited');
  const [files, locked, address] = [limit('Max open files'), limit('Max locked memory'), limit('Max address space')];
  const findings: Finding[] = [];
  if (files >= 256) findings.push(ok('limit.files', say(files, String)));
  else {
    const advice = 'ulimit -n 1024, or LimitNOFILE= in the service';
    const why = 'each open region needs two descriptors';
    findings.push({ id: 'limit.files', verdict: 'warn', seen: String(files), why, advice });
  }
  if (locked >= ROOMY_BYTES) findings.push(ok('limit.locked', say(locked, size)));
  else {
    const advice = 'ulimit -l unlimited, or LimitMEMLOCK= in the service, if you use `lock`';
    const why = 'the option `lock` keeps a region in memory up to this size';
    findings.push({ id: 'limit.locked', verdict: 'warn', seen: say(locked, size), why, advice });
  }
  if (!Number.isFinite(address)) findings.push(ok('limit.address-space', 'unlimited'));
  else {
    const why = 'a region reserves address space for its whole limit';
    const advice = 'ulimit -v unlimited, or a smaller limitBytes';
    findings.push({ id: 'limit.address-space', verdict: 'warn', seen: size(address), why, advice });
  }
  return findings;
}

function hugePages(): Finding {
  const chosen = /\[(\w+)\]/.exec(text('/sys/kernel/mm/transparent_hugepage/shmem_enabled'))?.[1];
  return ok(
    'huge-pages',
    chosen ? `shmem_enabled is ${chosen}; the option \`hugepages\` needs advise` : 'not offered here',
  );
}

function clock(): Finding {
  const seen = text('/sys/devices/system/clocksource/clocksource0/current_clocksource') || 'unknown';
  if (!['hpet', 'acpi_pm', 'jiffies', 'pit'].includes(seen)) return ok('clock', seen);
  const why = 'every write reads the clock, and this one is read by a system call, 20 to 50 times slower';
  return { id: 'clock', verdict: 'warn', seen, why, advice: 'boot with tsc=reliable, or use kvm-clock on a guest' };
}

function sleeping(): Finding {
  const id = 'sleeping';
  const kernel = `Linux ${release()}`;
  try {
    if (native().sleepsOnMany()) return ok(id, `${kernel}: futex_waitv`);
  } catch (error) {
    if (!(error instanceof TailraceError)) throw error;
    return ok(id, kernel);
  }
  const why = 'without futex_waitv Node needs a thread for each channel that is waited for';
  return {
    id,
    verdict: 'warn',
    seen: kernel,
    why,
    advice: 'use Linux 5.16 or newer, and let the sandbox allow the call',
  };
}

/** Every check of the machine. */
export function machineChecks(): Finding[] {
  return [
    platform(),
    ...addon(),
    ...layouts(),
    sharedMemory(),
    removeIpc(),
    ...limits(),
    hugePages(),
    clock(),
    sleeping(),
  ];
}
