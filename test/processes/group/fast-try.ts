/**
 * One group of real servers, started and driven through scripts/fast-try.sh only, as a user drives it.
 *
 * Each instance has a directory and ports of its own, so tests may run side by side and beside a group that somebody
 * tries out by hand. `close` stops all that was started and removes the directory; it runs at the end of the process
 * whatever happened before.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '@dledger-ts/dledger/internals'
import { run, type Finished } from './run.ts'
import { until, untilTrue } from './until.ts'

export type Role = 'LEADER' | 'CANDIDATE' | 'FOLLOWER' | 'LEARNER' | 'RECOVERING'

/** One broker in the answer of `status --json`. What a broker that does not answer would say is null. */
export interface BrokerStatus {
  id: string
  pid: number | null
  addr: string
  brokerId: number | null
  role: Role | null
  term: number | null
  firstIndex: number | null
  lastIndex: number | null
  commitIndex: number | null
  appliedIndex: number | null
  up: boolean
  storePath: string
}

/** The answer of `status --json`. */
export interface GroupStatus {
  namesrv: string
  cluster: string
  brokerName: string
  leader: string | null
  term: number | null
  brokers: BrokerStatus[]
}

export interface FastTryOptions {
  /** Another script with the interface of fast-try.sh. */
  script?: string
  /** Lines for every broker's configuration. */
  conf?: Readonly<Record<string, string>>
  /** Lines of a file with the keys of TLS, for all servers. */
  tls?: Readonly<Record<string, string>>
}

/** The root of the checkout, seen from here and from dist/processes/group alike. */
export const REPOSITORY = findRepository(fileURLToPath(import.meta.url))
const START_TIMEOUT_MS = 120_000
const COMMAND_TIMEOUT_MS = 30_000
const LEADER_TIMEOUT_MS = 60_000

function findRepository(file: string): string {
  const at = file.lastIndexOf(join('/test', '/'))
  return file.slice(0, at)
}

const open = new Set<FastTry>()
process.on('exit', () => {
  for (const group of open) group.closeAtExit()
})

export class FastTry {
  /** FAST_TRY_DIR: what the script writes. */
  readonly directory: string
  readonly namesrvPort: number
  readonly brokerPorts: readonly number[]
  readonly raftPorts: readonly number[]
  readonly metricsPorts: readonly number[]
  readonly #base: string
  readonly #script: string
  readonly #env: NodeJS.ProcessEnv

  static async create(options: FastTryOptions = {}): Promise<FastTry> {
    return new FastTry(options, await freePorts(10))
  }

  private constructor(options: FastTryOptions, ports: readonly number[]) {
    this.#script = options.script ?? join(REPOSITORY, 'scripts', 'fast-try.sh')
    // The script removes its directory when it starts afresh; what is ours stands beside it.
    this.#base = mkdtempSync(join(tmpdir(), 'fast-try-'))
    this.directory = join(this.#base, 'group')
    this.namesrvPort = ports[0] as number
    this.brokerPorts = ports.slice(1, 4)
    this.raftPorts = ports.slice(4, 7)
    this.metricsPorts = ports.slice(7, 10)
    const conf = join(this.#base, 'extra.conf')
    const lines = Object.entries(options.conf ?? {}).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(conf, lines.join(''))
    this.#env = {
      ...process.env,
      FAST_TRY_DIR: this.directory,
      FAST_TRY_NAMESRV_PORT: String(this.namesrvPort),
      FAST_TRY_BROKER_PORTS: this.brokerPorts.join(','),
      FAST_TRY_RAFT_PORTS: this.raftPorts.join(','),
      FAST_TRY_METRICS_PORTS: this.metricsPorts.join(','),
      FAST_TRY_CONF: conf,
      ...this.#tlsFile(options.tls),
    }
    open.add(this)
  }

  #tlsFile(tls: FastTryOptions['tls']): { FAST_TRY_TLS_FILE?: string } {
    if (tls === undefined) return {}
    const file = join(this.#base, 'tls.properties')
    const lines = Object.entries(tls).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(file, lines.join(''))
    return { FAST_TRY_TLS_FILE: file }
  }

  get namesrv(): string {
    return `127.0.0.1:${this.namesrvPort}`
  }

  /** Runs the script; resolves whatever its exit status. */
  async call(
    args: readonly string[],
    timeoutMs: number = COMMAND_TIMEOUT_MS,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Finished> {
    return run(this.#script, args, { env: { ...this.#env, ...env }, timeoutMs })
  }

  /** Runs the script and expects exit status 0; returns its standard output. */
  async expect(args: readonly string[], timeoutMs?: number): Promise<string> {
    const done = await this.call(args, timeoutMs)
    if (done.status !== 0) {
      throw new Error(
        `fast-try.sh ${args.join(' ')} ended with ${done.status ?? done.signal}\n${done.stdout}${done.stderr}`,
      )
    }
    return done.stdout
  }

  async start(...flags: string[]): Promise<string> {
    return this.expect(['start', ...flags], START_TIMEOUT_MS)
  }

  /** The status object, also where no leader serves. */
  async status(): Promise<GroupStatus> {
    const done = await this.call(['status', '--json'])
    return JSON.parse(done.stdout) as GroupStatus
  }

  /** Kills the leader with SIGKILL and returns its id. */
  async killLeader(): Promise<string> {
    return (await this.expect(['kill-leader'])).trim()
  }

  /** Waits for a leader, another one than `not` where that is given, and returns its id. */
  async leader(not?: string): Promise<string> {
    return until(`there is a leader${not === undefined ? '' : ` other than ${not}`}`, LEADER_TIMEOUT_MS, async () => {
      const { leader } = await this.status()
      return leader === null || leader === not ? undefined : leader
    })
  }

  /** Waits until every member has applied what the leader has committed by now. */
  async caughtUp(): Promise<void> {
    const target = await until('the leader says what is committed', LEADER_TIMEOUT_MS, async () => {
      const { brokers, leader } = await this.status()
      return brokers.find((broker) => broker.id === leader)?.commitIndex ?? undefined
    })
    await untilTrue(`all members have applied entry ${target}`, LEADER_TIMEOUT_MS, async () => {
      const { brokers } = await this.status()
      return brokers.every(({ role, appliedIndex }) => role !== null && (appliedIndex ?? -1) >= target)
    })
  }

  /** Waits until nothing is on its way: every member has applied its whole log, and the logs are equally long. */
  async quiet(): Promise<GroupStatus> {
    return until('all members have applied the same whole log', LEADER_TIMEOUT_MS, async () => {
      const status = await this.status()
      const { leader, brokers } = status
      const lastIndex = brokers.find((broker) => broker.id === leader)?.lastIndex
      const level = (broker: BrokerStatus) => broker.lastIndex === lastIndex && broker.appliedIndex === lastIndex
      return lastIndex !== undefined && lastIndex !== null && brokers.every(level) ? status : undefined
    })
  }

  /** Stops everything and removes the data. Safe to call twice. */
  async close(): Promise<void> {
    if (!open.has(this)) return
    await this.expect(['stop', '--clean'], COMMAND_TIMEOUT_MS)
    open.delete(this)
    rmSync(this.#base, { recursive: true, force: true })
  }

  /** The last resort, at the exit of the process: no promise runs any more. */
  closeAtExit(): void {
    spawnSync(this.#script, ['stop', '--clean'], { env: this.#env, stdio: 'ignore', timeout: COMMAND_TIMEOUT_MS })
    rmSync(this.#base, { recursive: true, force: true })
  }
}
