/** `mqshutdown broker|namesrv`: stops the servers that this user started from this installation. */
import { Argument } from 'commander'
import { isAlive, runningServers, type ServerKind } from './server/pid-files.ts'
import { command, fail, VERSION } from './server/program.ts'

const PROGRAM = 'mqshutdown'
const WAIT_MS = 60_000
const LOOK_EVERY_MS = 50

async function main(kind: ServerKind): Promise<void> {
  const pids = runningServers(kind)
  if (pids.length === 0) {
    process.stdout.write(`no ${kind} of this installation runs\n`)
    return
  }
  for (const pid of pids) process.kill(pid, 'SIGTERM')
  process.stdout.write(`asked ${kind} ${pids.join(', ')} to stop; waiting\n`)
  const deadline = Date.now() + WAIT_MS
  while (pids.some(isAlive)) {
    if (Date.now() > deadline)
      throw new Error(`${kind} ${pids.filter(isAlive).join(', ')} still runs after ${WAIT_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  process.stdout.write('stopped\n')
}

command(PROGRAM)
  .description('Stops the servers that this user started from this installation, and waits for them.')
  .addArgument(new Argument('<kind>', 'what to stop').choices(['broker', 'namesrv']))
  .version(VERSION)
  .action((kind: ServerKind) => main(kind).catch((error: unknown) => fail(PROGRAM, error)))
  .parse()
