/**
 * Members as processes of this machine, each with a directory of its own, and a proxy for each direction between two of them.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Random } from '@dledger-ts/base'
import { freePorts } from '../group/free-ports.ts'
import { until } from '../group/until.ts'
import type { MemberConfig, StatusAnswer } from './conversation.ts'
import { LinkProxy } from './link-proxy.ts'
import { MemberProcess } from './member-process.ts'
import { losePower, type PowerLoss } from './power-loss.ts'

const STATUS_TIMEOUT_MS = 1_000
const UP_TIMEOUT_MS = 30_000

export interface MemberGroupOptions {
  readonly size: 3 | 5
  readonly flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  /** Disks keep what a power cut may undo. */
  readonly shadowed: boolean
  readonly random: Random
}

export class GroupMember {
  readonly id: string
  readonly config: MemberConfig
  process: MemberProcess | null = null
  /** Processes that this member has been. */
  lives = 0
  isPaused = false

  constructor(config: MemberConfig) {
    this.id = config.self
    this.config = config
  }

  /** It takes questions now. */
  get serves(): boolean {
    return this.process !== null && this.process.isUp && !this.isPaused
  }

  async start(): Promise<void> {
    this.lives++
    this.isPaused = false
    this.process = new MemberProcess(this.config)
    await this.process.up
  }

  async kill(): Promise<void> {
    const { process } = this
    this.process = null
    this.isPaused = false
    await process?.kill()
  }

  pause(): void {
    this.isPaused = true
    this.process?.signal('SIGSTOP')
  }

  resume(): void {
    this.process?.signal('SIGCONT')
    this.isPaused = false
  }

  async status(): Promise<StatusAnswer | null> {
    if (this.process === null || !this.serves) return null
    try {
      return (await this.process.ask({ kind: 'status' }, STATUS_TIMEOUT_MS)) as StatusAnswer
    } catch {
      // Ended or too slow: as good as no member.
      return null
    }
  }
}

export class MemberGroup {
  readonly members: readonly GroupMember[]
  /** By `from>to`. */
  readonly links: ReadonlyMap<string, LinkProxy>
  readonly directory: string
  readonly #random: Random

  private constructor(
    members: readonly GroupMember[],
    options: { readonly links: ReadonlyMap<string, LinkProxy>; readonly directory: string; readonly random: Random },
  ) {
    this.members = members
    this.links = options.links
    this.directory = options.directory
    this.#random = options.random
  }

  static async create(options: MemberGroupOptions): Promise<MemberGroup> {
    const directory = mkdtempSync(join(tmpdir(), 'dledger-members-'))
    const ports = await freePorts(options.size)
    const ids = ports.map((_, i) => `n${i}`)
    const links = new Map<string, LinkProxy>()
    for (const from of ids) {
      for (const [i, to] of ids.entries()) {
        if (from === to) continue
        const link = new LinkProxy({ host: '127.0.0.1', port: ports[i] as number })
        await link.listen()
        links.set(`${from}>${to}`, link)
      }
    }
    const members = ids.map(
      (self, i) =>
        new GroupMember({
          self,
          directory: join(directory, self),
          listenHost: '127.0.0.1',
          listenPort: ports[i] as number,
          peers: ids
            .filter((id) => id !== self)
            .map((id) => ({ id, host: '127.0.0.1', port: (links.get(`${self}>${id}`) as LinkProxy).port })),
          flush: options.flush,
          shadowDirectory: options.shadowed ? join(directory, `${self}-shadow`) : null,
        }),
    )
    return new MemberGroup(members, { links, directory, random: options.random })
  }

  async start(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()))
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()))
    for (const link of this.links.values()) link.close()
    rmSync(this.directory, { recursive: true, force: true })
  }

  link(from: GroupMember, to: GroupMember): LinkProxy {
    return this.links.get(`${from.id}>${to.id}`) as LinkProxy
  }

  /** All links of a member in that direction. */
  linksOf(member: GroupMember, direction: 'in' | 'out' | 'both'): LinkProxy[] {
    return [...this.links]
      .filter(([name]) => {
        const [from, to] = name.split('>')
        return (direction !== 'in' && from === member.id) || (direction !== 'out' && to === member.id)
      })
      .map(([, link]) => link)
  }

  heal(): void {
    for (const link of this.links.values()) link.heal()
  }

  /** The one that leads the highest term, if it takes writes. */
  async leader(): Promise<GroupMember | null> {
    const statuses = await Promise.all(this.members.map((member) => member.status()))
    let found: { readonly member: GroupMember; readonly term: number; readonly ready: boolean } | null = null
    for (const [i, status] of statuses.entries()) {
      if (status === null || status.role !== 'LEADER' || status.term <= (found?.term ?? -1)) continue
      found = { member: this.members[i] as GroupMember, term: status.term, ready: status.ready }
    }
    return found !== null && found.ready ? found.member : null
  }

  /** @param except somebody else must lead. */
  async untilLeader(except: GroupMember | null = null, timeoutMs: number = UP_TIMEOUT_MS): Promise<GroupMember> {
    return until(`a leader${except === null ? '' : ` other than ${except.id}`}`, timeoutMs, async () => {
      const leader = await this.leader()
      return leader === null || leader === except ? undefined : leader
    })
  }

  /** Everybody is up and has applied all that anybody has. */
  async untilWhole(timeoutMs: number = UP_TIMEOUT_MS): Promise<number> {
    return until('all members have the same log, committed and applied', timeoutMs, async () => {
      const statuses = await Promise.all(this.members.map((member) => member.status()))
      const lastIndex = statuses[0]?.lastIndex ?? -1
      const isWhole =
        statuses.some((status) => status?.role === 'LEADER' && status.ready) &&
        statuses.every(
          (status) => status !== null && status.lastIndex === lastIndex && status.appliedIndex === lastIndex,
        )
      return isWhole ? lastIndex : undefined
    })
  }

  /** Kills members at one moment, and their machines' power with them. */
  async losePower(members: readonly GroupMember[]): Promise<PowerLoss[]> {
    await Promise.all(members.map((member) => member.kill()))
    return members.map(({ config }) => losePower(config.directory, config.shadowDirectory as string, this.#random))
  }
}
