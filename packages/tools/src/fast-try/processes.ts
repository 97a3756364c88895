/** Starts and stops the servers of a laptop's group as processes of their own, found again by their pid files. */
import { spawn } from 'node:child_process'
import { openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectoriesSync } from '@dledger-ts/base'
import { NODE_FLAGS, SERVER_ENV } from '../server/v8.ts'
import { isAlive } from '../server/pid-files.ts'
import { BROKER_NAME, type BrokerSettings, CLUSTER, HOST, namesrvAddress, type Settings } from './settings.ts'

const LOOK_EVERY_MS = 20
/** A server that does not close within this is killed. */
const CLOSE_WITHIN_MS = 20_000

export type Flush = 'ASYNC_FLUSH' | 'SYNC_FLUSH'

/** @returns the pid of the server that was started in `directory`, or null when it does not run. */
export function pidIn(directory: string): number | null {
  let text: string
  try {
    text = readFileSync(join(directory, 'pid'), 'utf8')
  } catch {
    // Never started, or cleaned away.
    return null
  }
  const pid = Number(text)
  return Number.isInteger(pid) && pid > 0 && isAlive(pid) && isOurs(pid, directory) ? pid : null
}

/** The id may belong to another program by now: ours name their directory on their command line. */
function isOurs(pid: number, directory: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory)
  } catch {
    return true
  }
}

export function namesrvDirectory(settings: Settings): string {
  return join(settings.directory, 'namesrv')
}

/** Where demos take turns; nothing else is in it. */
export function demoDirectory(settings: Settings): string {
  return join(settings.directory, 'demo')
}

export function startNamesrv(settings: Settings): number {
  const directory = namesrvDirectory(settings)
  const conf = join(directory, 'namesrv.conf')
  makeDirectoriesSync(directory)
  writeFileSync(
    conf,
    `listenPort=${settings.namesrvPort}\nbindAddress=${HOST}\nmetricsPromExporterPort=${settings.namesrvMetricsPort}\n${tlsConf(settings)}`,
  )
  return launch(settings, 'mqnamesrv', conf, directory, join(directory, 'logs', 'namesrv.log'))
}

/** Before anything is stopped, removed or started. @throws Error that names the variable and the file. */
export function checkFiles({ extraConf, tlsFile }: Settings): void {
  for (const [variable, file] of Object.entries({ FAST_TRY_CONF: extraConf, FAST_TRY_TLS_FILE: tlsFile })) {
    if (file === null) continue
    try {
      readFileSync(file)
    } catch (cause) {
      throw new Error(`${variable}=${file} cannot be read: ${(cause as Error).message}`, { cause })
    }
  }
}

/** @param flush changes the flush mode that the configuration had; null keeps it. */
export function startBroker(settings: Settings, broker: BrokerSettings, flush: Flush | null): number {
  const conf = join(broker.directory, 'broker.conf')
  makeDirectoriesSync(broker.directory)
  writeFileSync(conf, brokerConf(settings, broker, flush ?? flushIn(conf) ?? 'SYNC_FLUSH'))
  return launch(settings, 'mqbroker', conf, broker.directory, join(broker.storePath, 'logs', 'broker.log'))
}

/** @returns the flush mode with which the broker was started last, or null. */
export function flushOf(broker: BrokerSettings): Flush | null {
  return flushIn(join(broker.directory, 'broker.conf'))
}

function flushIn(conf: string): Flush | null {
  try {
    return /^flushDiskType=ASYNC_FLUSH$/m.test(readFileSync(conf, 'utf8')) ? 'ASYNC_FLUSH' : 'SYNC_FLUSH'
  } catch {
    // No configuration yet.
    return null
  }
}

function brokerConf(settings: Settings, broker: BrokerSettings, flush: Flush): string {
  const peers = settings.brokers.map(({ id, raftPort }) => `${id}-${HOST}:${raftPort}`).join(';')
  const extra = settings.extraConf === null ? '' : `${readFileSync(settings.extraConf, 'utf8')}\n`
  return `# Written by fast-try.sh at each start.
brokerClusterName=${CLUSTER}
brokerName=${BROKER_NAME}
brokerIP1=${HOST}
bindAddress=${HOST}
listenPort=${broker.port}
namesrvAddr=${namesrvAddress(settings)}
storePathRootDir=${broker.storePath}
enableDLegerCommitLog=true
dLegerGroup=${BROKER_NAME}
dLegerPeers=${peers}
dLegerSelfId=${broker.id}
flushDiskType=${flush}
metricsPromExporterPort=${broker.metricsPort}
# A try works on a disk that is well filled, too.
diskSpaceWarningLevelRatio=100
${tlsConf(settings)}${extra}`
}

function tlsConf({ tlsFile }: Settings): string {
  return tlsFile === null ? '' : `tls.config.file=${tlsFile}\n`
}

function launch(settings: Settings, program: string, conf: string, directory: string, logFile: string): number {
  const output = openSync(join(directory, 'output'), 'a')
  const child = spawn(
    process.execPath,
    [...NODE_FLAGS, join(settings.root, 'packages', 'tools', 'bin', `${program}.js`), '-c', conf],
    {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...SERVER_ENV, ...process.env, DLEDGER_LOG_FILE: logFile },
    },
  )
  closeSync(output)
  child.unref()
  if (child.pid === undefined) throw new Error(`${program} could not be started`)
  writeFileSync(join(directory, 'pid'), String(child.pid))
  return child.pid
}

/** Resolves once the process is gone: asked first, killed when it takes too long. */
export async function stopProcess(pid: number): Promise<void> {
  signal(pid, 'SIGTERM')
  // A paused process hears SIGTERM only when it goes on.
  signal(pid, 'SIGCONT')
  const deadline = Date.now() + CLOSE_WITHIN_MS
  while (isAlive(pid)) {
    if (Date.now() > deadline) signal(pid, 'SIGKILL')
    await pause(LOOK_EVERY_MS)
  }
}

export async function killProcess(pid: number): Promise<void> {
  signal(pid, 'SIGKILL')
  while (isAlive(pid)) await pause(LOOK_EVERY_MS)
}

/** A process that has just ended needs no signal. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

export function lastOutput(directory: string): string {
  try {
    return readFileSync(join(directory, 'output'), 'utf8').trimEnd().split('\n').slice(-3).join('\n')
  } catch {
    // Nothing was printed.
    return ''
  }
}

/** What was started here, and nothing else that is in the directory. */
export function removeAll(settings: Settings): void {
  const own = [namesrvDirectory(settings), demoDirectory(settings)]
  const directories = [...own, ...settings.brokers.map(({ directory }) => directory)]
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}

export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
