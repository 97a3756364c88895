/** A broker or namesrv on its own, in a directory of its own, for tests of one server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '@dledger-ts/dledger/internals'
import { type Ended, ServerProcess, type ServerProgram, serverScript } from '../group/server-process.ts'
import { untilTrue } from '../group/until.ts'

const UP_TIMEOUT_MS = 30_000
const ORPHANAGE_SECONDS = 600
/** Larger than the largest message with its overhead. */
export const LOG_FILE_BYTES = 8 * 1024 * 1024

export type Settings = Readonly<Record<string, string | number>>

/** The directory of a test; everything in it goes when the test ends. */
export class Workplace {
  readonly directory = mkdtempSync(join(tmpdir(), 'server-'))
  readonly #servers: ServerProcess[] = []
  readonly #parents: ChildProcess[] = []

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Writes a properties file and returns its path. */
  configuration(name: string, settings: Settings): string {
    mkdirSync(this.directory, { recursive: true })
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(this.path(name), lines.join(''))
    return this.path(name)
  }

  /** Runs a server until it ends by itself. */
  async runToEnd(program: ServerProgram, args: readonly string[]): Promise<Ended> {
    return this.launch(program, args).ended
  }

  launch(program: ServerProgram, args: readonly string[]): ServerProcess {
    const server = new ServerProcess(program, args)
    this.#servers.push(server)
    return server
  }

  /** Starts a broker and waits until it serves. */
  async broker(settings: Settings): Promise<ServerProcess> {
    const server = this.launch('mqbroker', ['-c', this.configuration('broker.conf', settings)])
    await healthy(server, Number(settings['metricsPromExporterPort']))
    return server
  }

  /**
   * Starts a broker below a process that never waits for its children, as the first process of many a container; killed, it
   * stays in the process table. Returns its id once it serves.
   */
  async orphanedBroker(settings: Settings): Promise<number> {
    const pidFile = this.path('orphan.pid')
    const command = `"$0" "$1" -c "$2" & echo $! > "$3"; exec sleep ${ORPHANAGE_SECONDS}`
    const conf = this.configuration('orphan.conf', settings)
    const parent = spawn('sh', ['-c', command, process.execPath, serverScript('mqbroker'), conf, pidFile], {
      stdio: 'ignore',
    })
    this.#parents.push(parent)
    await untilTrue('the broker serves', UP_TIMEOUT_MS, async () => {
      return (await fetch(`http://127.0.0.1:${settings['metricsPromExporterPort']}/health`)).status === 200
    })
    return Number(readFileSync(pidFile, 'utf8'))
  }

  /** What the servers printed so far, in the order in which they were started. */
  keepLogs(directory: string): void {
    mkdirSync(directory, { recursive: true })
    for (const [i, { stderr }] of this.#servers.entries()) writeFileSync(join(directory, `${i}.log`), stderr)
  }

  async close(): Promise<void> {
    for (const parent of this.#parents) parent.kill('SIGKILL')
    for (const server of this.#servers) server.signal('SIGKILL')
    await Promise.all(this.#servers.map((server) => server.ended))
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** A group of one: it needs no namesrv to serve. */
export async function loneBroker(workplace: Workplace): Promise<Settings> {
  const [listenPort = 0, metricsPort = 0] = await freePorts(2)
  return {
    brokerClusterName: 'TestCluster',
    brokerName: 'lone',
    brokerIP1: '127.0.0.1',
    bindAddress: '127.0.0.1',
    listenPort,
    namesrvAddr: '127.0.0.1:1',
    storePathRootDir: workplace.path('store'),
    // The default of 1 GiB is slow to read as a whole.
    mappedFileSizeCommitLog: LOG_FILE_BYTES,
    metricsPromExporterPort: metricsPort,
  }
}

/** Waits until the server says that it serves its role. @throws Error with what it printed when it ends instead. */
export async function healthy(server: ServerProcess, metricsPort: number): Promise<void> {
  await untilTrue('the server serves', UP_TIMEOUT_MS, async () => {
    if (!server.runs) return true
    return (await fetch(`http://127.0.0.1:${metricsPort}/health`)).status === 200
  })
  if (!server.runs) throw new Error(`the server ended: ${(await server.ended).stderr}`)
}

/**
 * Every file below a directory with a digest of its content, to see that nothing changed. The metadata database is left out:
 * it rewrites its own files whenever it is opened, and holds only what the log holds, too.
 */
export function digest(directory: string): Record<string, string> {
  const files: Record<string, string> = {}
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name)
    if (path.startsWith(join(directory, 'metadata'))) continue
    if (entry.isFile()) files[path] = createHash('sha1').update(readFileSync(path)).digest('hex')
    else files[path] = statSync(path).isDirectory() ? 'directory' : 'other'
  }
  return files
}

/** What was printed to standard error, without warnings. */
export function errorLines({ stderr }: Ended): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !line.includes('warning: ') && !line.startsWith('{'))
}
