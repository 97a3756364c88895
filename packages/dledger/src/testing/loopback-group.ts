/**
 * Members in this process, over TCP on loopback and with real files, for tests of whole groups.
 *
 * Where the machine is busy with other things a leader may lose its place at any time: `withLeader` follows it, as clients do.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { DLedger } from '../dledger.ts'
import type { DLedgerOptions } from '../dledger-options.ts'
import { DLedgerError } from '../errors.ts'
import { TcpTransport } from '../transport/tcp.ts'
import { freePorts } from './free-ports.ts'
import { until } from './until.ts'

export const IDS: readonly string[] = ['n0', 'n1', 'n2']

/** Small files, and elections that do not take long. */
export const SMALL = {
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 30,
  electionTimeoutMs: 250,
} as const satisfies Partial<DLedgerOptions>

export class LoopbackGroup {
  /** Holds a directory for each member, named after it; gone after `close`. */
  readonly root: string
  /** By id: those that are open. */
  readonly open = new Map<string, DLedger>()
  readonly #settings: Partial<DLedgerOptions>
  readonly #ports: readonly number[]

  private constructor(root: string, ports: readonly number[], settings: Partial<DLedgerOptions>) {
    this.root = root
    this.#ports = ports
    this.#settings = settings
  }

  static async create(settings: Partial<DLedgerOptions> = {}): Promise<LoopbackGroup> {
    const ports = await freePorts(IDS.length)
    return new LoopbackGroup(mkdtempSync(join(tmpdir(), 'dledger-group-')), ports, { ...SMALL, ...settings })
  }

  async start(id: string, options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
    const peers = IDS.map((peer, i) => ({ id: peer, host: '127.0.0.1', port: this.#ports[i] as number }))
    const own = peers[IDS.indexOf(id)] as (typeof peers)[number]
    const listen = { listenHost: own.host, listenPort: own.port }
    const member = await DLedger.open({
      directory: join(this.root, id),
      self: id,
      members: IDS,
      transport: new TcpTransport({ self: id, ...listen, peers, clock: systemClock, logger: silentLogger }),
      ...this.#settings,
      ...options,
    })
    this.open.set(id, member)
    return member
  }

  async startAll(options: Partial<DLedgerOptions> = {}): Promise<void> {
    await Promise.all(IDS.map((id) => this.start(id, options)))
  }

  async stop(id: string): Promise<void> {
    const member = this.open.get(id)
    this.open.delete(id)
    await member?.close()
  }

  /** The leader last, so that nobody takes over from it and appends something. */
  async stopAll(): Promise<void> {
    const leads = (id: string): boolean => this.open.get(id)?.status().role === 'LEADER'
    for (const id of [...this.open.keys()].toSorted((a, b) => Number(leads(a)) - Number(leads(b)))) await this.stop(id)
  }

  async close(): Promise<void> {
    await this.stopAll()
    rmSync(this.root, { recursive: true, force: true })
  }

  /** @see until */
  until(what: string, condition: () => boolean): Promise<void> {
    return until(what, this.open.values(), condition)
  }

  async leader(): Promise<DLedger> {
    const find = (): DLedger | undefined => [...this.open.values()].find((member) => member.status().ready)
    await this.until('a leader', () => find() !== undefined)
    return find() as DLedger
  }

  /** @param work what only a leader does, and what changes nothing where it is refused for the want of one. */
  async withLeader<Result>(work: (leader: DLedger) => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await work(await this.leader())
      } catch (error) {
        if (!(error instanceof DLedgerError) || error.code !== 'NOT_LEADER') throw error
      }
    }
  }

  /** Every open member has applied all that the leader has. */
  async untilLevel(): Promise<void> {
    await this.until('all have all', () => {
      const lastIndex = Math.max(...[...this.open.values()].map((member) => member.lastIndex))
      return [...this.open.values()].every((member) => member.appliedIndex === lastIndex)
    })
  }

  /** By `data/NAME` and `index/NAME`. What is unused is zero everywhere. */
  filesOf(id: string): Map<string, Buffer> {
    const files = new Map<string, Buffer>()
    for (const kind of ['data', 'index']) {
      for (const name of readdirSync(join(this.root, id, kind)).toSorted()) {
        files.set(`${kind}/${name}`, readFileSync(join(this.root, id, kind, name)))
      }
    }
    return files
  }

  /** @returns the names of the files in which the closed members differ, or that not all have. */
  differingFiles(ids: readonly string[] = IDS): string[] {
    const [first, ...others] = ids.map((id) => this.filesOf(id)) as [Map<string, Buffer>, ...Map<string, Buffer>[]]
    const names = new Set([...first.keys(), ...others.flatMap((other) => [...other.keys()])])
    return [...names].filter((name) => !others.every((other) => first.get(name)?.equals(other.get(name) ?? NONE)))
  }
}

const NONE = Buffer.alloc(0)

export async function bodiesOf(member: DLedger): Promise<string[]> {
  const found: string[] = []
  for await (const entry of member.entries()) found.push(entry.body.toString())
  return found
}
