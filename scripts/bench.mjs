/** Bench: builds what is missing, then runs `bench/` with the arguments given. */
import { spawn } from 'node:child_process';
import { build, orExplain } from './build.mjs';
import { root } from './toolchain.mjs';

await orExplain(async () => {
  await build();
  const command = ['--import', 'tsx', `${root}bench/run.ts`, ...process.argv.slice(2)];
  const child = spawn(process.execPath, command, { cwd: root, stdio: 'inherit' });
  process.exitCode = await new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
  });
});
