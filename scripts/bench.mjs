/** Bench: builds what is missing, then runs `bench/` with the arguments given; `classic` is a program of its own there. */
import { spawn } from 'node:child_process';
import { build, orExplain } from './build.mjs';
import { root } from './toolchain.mjs';

await orExplain(async () => {
  await build();
  const words = process.argv.slice(2);
  const file = words[0] === 'classic' ? 'classic.ts' : 'run.ts';
  const rest = words[0] === 'classic' ? words.slice(1) : words;
  const command = ['--import', 'tsx', `${root}bench/${file}`, ...rest];
  const child = spawn(process.execPath, command, { cwd: root, stdio: 'inherit' });
  process.exitCode = await new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
  });
});
