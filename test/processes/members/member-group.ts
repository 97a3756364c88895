/**
 * Members as processes of this machine, each with a directory of its own, and a proxy for each direction between two of them.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Random } from '@dledger-ts/base'
import { freePorts } from '@dledger-ts/dledger/internals'
import { until } from '../group/until.ts'
import type { Ask, MemberConfig, StatusAnswer } from './conversation.ts'
import { LinkProxy } from './link-proxy.ts'
import { onSmallDisk } from './small-disk.ts'
import { MemberProcess, Refused } from './member-process.ts'
import { makeWire, type Wire } from './namespaces.ts'
import { losePower, type PowerLoss } from './power-loss.ts'

const STATUS_TIMEOUT_MS = 1_000
const UP_TIMEOUT_MS = 30_000

export interface MemberGroupOptions {
  readonly size: 3 | 5
  readonly flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  /** Default false. */
  readonly leaseReads?: boolean
  /** Disks keep what a power cut may undo. */
  readonly shadowed: boolean
  readonly random: Random
  /** `proxies`: on one host, through a proxy for each direction. `namespaces`: each in a network namespace of its own. */
  readonly network?: 'proxies' | 'namespaces'
  /** The disk of the last member is so small. */
  readonly smallDisk?: { readonly bytes: number; readonly ballastBytes: number }
}

export class GroupMember {
  readonly id: string
  readonly config: MemberConfig
  readonly wire: Wire | null
  readonly #prefix: readonly string[]
  process: MemberProcess | null = null
  /** Processes that this member has been, and starts of its machine. */
  lives = 0
  boots = 0
  isPaused = false

  constructor(config: MemberConfig, options: { readonly wire: Wire | null; readonly prefix: readonly string[] }) {
    this.id = config.self
    this.config = config
    this.wire = options.wire
    this.#prefix = options.prefix
  }

  /** It takes questions now. */
  get serves(): boolean {
    return this.process !== null && this.process.isUp && !this.isPaused
  }

  async start(): Promise<void> {
    await this.begin().up
  }

  /** Starts it and does not wait: it may refuse to serve. */
  begin(): MemberProcess {
    this.lives++
    this.isPaused = false
    this.process = new MemberProcess({ ...this.config, boot: this.boots }, this.#prefix)
    return this.process
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

  /** @throws Refused, as `MemberProcess.ask`; UNKNOWN also where there is no process. */
  async ask<Answer>(ask: Ask, timeoutMs: number): Promise<Answer> {
    if (this.process === null) throw new Refused('UNKNOWN', null)
    return (await this.process.ask(ask, timeoutMs)) as Answer
  }

  async status(): Promise<StatusAnswer | null> {
    if (!this.serves) return null
    try {
      return await this.ask<StatusAnswer>({ kind: 'status' }, STATUS_TIMEOUT_MS)
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
  /** Sectors and names that power cuts took. */
  undone = 0
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
    const ids = Array.from({ length: options.size }, (_, i) => `n${i}`)
    const wires = options.network === 'namespaces' ? ids.map((_, i) => makeWire(i)) : null
    const ports = await freePorts(options.size)
    const addresses = wires ?? ports.map((port) => ({ host: '127.0.0.1', port }))
    const links = new Map<string, LinkProxy>()
    for (const from of wires === null ? ids : []) {
      for (const [i, to] of ids.entries()) {
        if (from === to) continue
        const link = new LinkProxy(addresses[i] as { host: string; port: number })
        await link.listen()
        links.set(`${from}>${to}`, link)
      }
    }
    const members = ids.map((self, i) => {
      const { host, port } = addresses[i] as { host: string; port: number }
      const { smallDisk } = options
      const isSmall = smallDisk !== undefined && i === options.size - 1
      const config: MemberConfig = {
        self,
        directory: join(directory, self, 'log'),
        listenHost: host,
        listenPort: port,
        peers: ids.flatMap((id, place) => {
          const link = links.get(`${self}>${id}`)
          const address = addresses[place] as { host: string; port: number }
          if (id === self) return []
          return [
            {
              id,
              ...(link === undefined
                ? { host: address.host, port: address.port }
                : { host: '127.0.0.1', port: link.port }),
            },
          ]
        }),
        flush: options.flush,
        leaseReads: options.leaseReads ?? false,
        boot: 0,
        shadowDirectory: options.shadowed ? join(directory, self, 'shadow') : null,
        ballastBytes: isSmall ? smallDisk.ballastBytes : 0,
      }
      mkdirSync(join(directory, self))
      const prefix = isSmall ? onSmallDisk(join(directory, self), smallDisk.bytes) : []
      const wire = wires?.[i] ?? null
      return new GroupMember(config, { wire, prefix: [...(wire?.prefix ?? []), ...prefix] })
    })
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

  /** Gives the leadership to that member. */
  async transferTo(member: GroupMember): Promise<void> {
    await until(`${member.id} leads`, UP_TIMEOUT_MS, async () => {
      const leader = await this.leader()
      if (leader === member) return true
      await leader?.process?.ask({ kind: 'transfer', to: member.id }, STATUS_TIMEOUT_MS)
      return undefined
    })
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

  /** These are up and have applied all that any of them has. */
  async untilWhole(members: readonly GroupMember[] = this.members): Promise<number> {
    return until('all members have the same log, committed and applied', UP_TIMEOUT_MS, async () => {
      const statuses = await Promise.all(members.map((member) => member.status()))
      const lastIndex = statuses[0]?.lastIndex ?? -1
      const isWhole =
        statuses.some((status) => status?.role === 'LEADER' && status.ready) &&
        statuses.every(
          (status) => status !== null && status.lastIndex === lastIndex && status.appliedIndex === lastIndex,
        )
      return isWhole ? lastIndex : undefined
    })
  }

  /**
   * Waits until all have applied what a leader has now. While appends go on, logs that are all the same at one moment are luck, which a busy
   * machine does not have.
   */
  async untilCaughtUp(): Promise<void> {
    let wanted: number | null = null
    await until('all members have applied what the leader had', UP_TIMEOUT_MS, async () => {
      const statuses = await Promise.all(this.members.map((member) => member.status()))
      wanted ??= statuses.find((status) => status?.role === 'LEADER' && status.ready)?.lastIndex ?? null
      const bound = wanted
      if (bound === null || !statuses.every((status) => status !== null && status.appliedIndex >= bound))
        return undefined
      return true
    })
  }

  /** Kills members at one moment, and their machines' power with them. */
  async losePower(members: readonly GroupMember[]): Promise<PowerLoss[]> {
    await Promise.all(members.map((member) => member.kill()))
    return members.map((member) => {
      member.boots++
      const { directory, shadowDirectory } = member.config
      const loss = losePower(directory, shadowDirectory as string, this.#random)
      this.undone += loss.sectorsUndone + loss.namesUndone
      return loss
    })
  }
}
