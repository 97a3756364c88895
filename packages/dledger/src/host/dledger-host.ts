/**
 * Many groups in one process: one port, one set of connections for each pair of nodes, one wake-up for all heartbeats.
 *
 *   const host = await DLedgerHost.open({ node: 'n0', listen: { host: '0.0.0.0', port: 20911 }, peers })
 *   const orders = await host.open({ group: 'orders', directory: './orders' })
 *   const audit = await host.open({ group: 'audit', directory: './audit' })
 *   …
 *   await host.close()
 *
 * A member has the id of its node in every group.
 */
import { randomUUID } from 'node:crypto'
import { type Clock, type Logger, type Random, silentLogger, systemClock } from '@dledger-ts/base'
import { invalid } from '../config.ts'
import { DLedger } from '../dledger.ts'
import type { DLedgerOptions } from '../dledger-options.ts'
import { deviceOf } from '../disk/device.ts'
import { Flusher } from '../disk/flusher.ts'
import { nodeDisk } from '../disk/node-disk.ts'
import { DLedgerError } from '../errors.ts'
import type { NodeStatus } from '../driver/node-status.ts'
import { SharedTicker } from '../driver/ticker.ts'
import type { PeerSockets } from '../transport/sockets.ts'
import { type LinkStats, TcpLinks } from '../transport/tcp-links.ts'
import type { TcpPeer } from '../transport/tcp-outgoing.ts'
import type { Transport } from '../transport/transport.ts'
import { CONTROL_VALUES_MAX, type HostFrame } from './host-frames.ts'
import { DEFAULT_HOST_LIMITS, type HostLimits } from './host-limits.ts'
import { Multiplexer, type MultiplexerStats } from './multiplexer.ts'

const SYNCS_AT_ONCE = 16

export interface HostOptions {
  /** This process among those that share groups; its member has this id in every group. */
  readonly node: string
  /** Where the other nodes reach this one. Port 0 takes a free one; see `port`. */
  readonly listen: { readonly host: string; readonly port: number }
  /** All nodes, with or without this one. */
  readonly peers: readonly TcpPeer[]
  /** Known to all nodes and to nobody else, at least 16 bytes: without it nobody is heard. Default: none. */
  readonly secret?: string
  /** Default: TCP. */
  readonly sockets?: PeerSockets
  readonly limits?: Partial<HostLimits>
  /**
   * Syncs of all groups' files under way at once on one device. Default 16: enough to keep the few threads busy that Node has for files while
   * the event loop does other things, and few enough that a read does not wait behind those of a hundred groups.
   */
  readonly syncsAtOnce?: number
  readonly logger?: Logger
  readonly clock?: Clock
  readonly random?: Random
}

/** What the host gives to each group is left out: its id, its connections, its wake-ups. */
export interface GroupOptions extends Omit<DLedgerOptions, 'group' | 'self' | 'transport' | 'ticker' | 'clock'> {
  /** Its name; once on each host. */
  readonly group: string
  /** The nodes that found the group when it is empty, this one included. Default: all nodes of the host. */
  readonly members?: readonly string[]
}

export interface HostStatus {
  readonly node: string
  /** Other nodes with which all connections work. */
  readonly connectedNodes: readonly string[]
  readonly groups: readonly NodeStatus[]
  readonly stats: Readonly<LinkStats & MultiplexerStats>
}

export class DLedgerHost {
  readonly #options: HostOptions
  readonly #clock: Clock
  readonly #links: TcpLinks<HostFrame>
  readonly #multiplexer: Multiplexer
  readonly #ticker: SharedTicker
  /** One for each device: a disk that hangs holds up no other. */
  readonly #flushers = new Map<number, Flusher>()
  #peers: readonly TcpPeer[]
  /** Those being opened, too. */
  readonly #groups = new Map<string, Promise<DLedger>>()
  readonly #open = new Map<string, DLedger>()
  #closing: Promise<void> | null = null

  private constructor(options: HostOptions) {
    const { node, listen, peers, logger = silentLogger, clock = systemClock } = options
    const limits = { ...DEFAULT_HOST_LIMITS, ...options.limits }
    this.#options = options
    this.#peers = peers
    this.#clock = clock
    this.#links = new TcpLinks<HostFrame>({
      self: node,
      listenHost: listen.host,
      listenPort: listen.port,
      peers,
      clock,
      logger,
      limits,
      valuesMax: CONTROL_VALUES_MAX,
      ...(options.random === undefined ? {} : { random: options.random }),
      ...(options.secret === undefined ? {} : { secret: options.secret }),
      ...(options.sockets === undefined ? {} : { sockets: options.sockets }),
    })
    const nodes = [...new Set([node, ...peers.map(({ id }) => id)])]
    const runId = randomUUID()
    this.#multiplexer = new Multiplexer({ self: node, nodes, links: this.#links, clock, logger, limits, runId })
    this.#ticker = new SharedTicker(clock, () => this.#multiplexer.flush())
  }

  /** Listens and dials the other nodes. @throws DLedgerError INVALID: a name, a limit, a port that cannot be had. */
  static async open(options: HostOptions): Promise<DLedgerHost> {
    checkHost(options)
    const host = new DLedgerHost(options)
    await new Promise<void>((resolve, reject) => {
      host.#multiplexer.start((error) => (error === null ? resolve() : reject(error)))
    })
    return host
  }

  /** The port that is listened on. */
  get port(): number {
    return this.#links.listeningPort
  }

  /**
   * Opens this node's member of a group. `close` of what it resolves with closes that group alone.
   *
   * @throws DLedgerError as `DLedger.open`; INVALID when the group is open here already; CLOSED when the host is.
   */
  open(options: GroupOptions): Promise<DLedger> {
    const { group } = options
    if (this.#closing !== null) {
      return Promise.reject(new DLedgerError(`node ${this.#options.node} is closed`, { code: 'CLOSED' }))
    }
    if (this.#groups.has(group)) {
      return Promise.reject(invalid(`group ${group} is open on node ${this.#options.node} already`))
    }
    const opening = this.#openGroup(options)
    this.#groups.set(group, opening)
    opening.catch(() => this.#groups.delete(group))
    return opening
  }

  async #openGroup(options: GroupOptions): Promise<DLedger> {
    const { node, random, logger } = this.#options
    const { group } = options
    const log = await DLedger.open({
      members: [...new Set([node, ...this.#peers.map(({ id }) => id)])].sort(),
      ...(random === undefined ? {} : { random }),
      ...(logger === undefined ? {} : { logger }),
      ...options,
      disk: this.#flusherFor(options.directory).disk(options.disk ?? nodeDisk),
      self: node,
      transport: this.transport(group),
      ticker: this.#ticker,
      clock: this.#clock,
    })
    this.#open.set(group, log)
    log.once('closed', () => {
      this.#open.delete(group)
      this.#groups.delete(group)
    })
    return log
  }

  #flusherFor(directory: string): Flusher {
    const device = deviceOf(directory)
    let flusher = this.#flushers.get(device)
    if (flusher === undefined) {
      flusher = new Flusher({ syncsAtOnce: this.#options.syncsAtOnce ?? SYNCS_AT_ONCE, isUrgent: isHardState })
      this.#flushers.set(device, flusher)
    }
    return flusher
  }

  /** Nodes came, went or have another address: dials those that are new, leaves those that are gone. */
  setPeers(peers: readonly TcpPeer[]): void {
    checkPeers(peers)
    this.#peers = peers
    this.#multiplexer.setNodes(peers.map(({ id }) => id))
    this.#links.setPeers(peers)
  }

  /** The connections of one group, for a member that is opened by other means. */
  transport(group: string): Transport {
    return this.#multiplexer.transport(group)
  }

  status(): HostStatus {
    return {
      node: this.#options.node,
      connectedNodes: this.#multiplexer.connectedNodes(),
      groups: [...this.#open.values()].map((log) => log.status()),
      stats: { ...this.#links.stats(), ...this.#multiplexer.stats() },
    }
  }

  /** Closes all groups, each handing over its leadership, then the port. Idempotent. @throws what closing a group threw. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    const opened = await Promise.allSettled(this.#groups.values())
    const closed = await Promise.allSettled(
      opened.map((group) => (group.status === 'fulfilled' ? group.value.close() : Promise.resolve())),
    )
    await new Promise<void>((resolve) => {
      this.#multiplexer.close(resolve)
    })
    const failures = closed.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
    if (failures.length === 1) throw failures[0] as Error
    if (failures.length > 1) throw new AggregateError(failures, `${failures.length} groups could not be closed cleanly`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function checkPeers(peers: readonly TcpPeer[]): void {
  const ids = peers.map(({ id }) => id)
  const twice = ids.find((id, i) => ids.indexOf(id) !== i)
  if (twice !== undefined) throw invalid(`node ${twice} is named twice among the peers ${ids.join(', ')}`)
  for (const { id, port } of peers) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw invalid(`node ${id} has no port ${port}`)
  }
}

/** What a vote waits for. */
function isHardState(path: string): boolean {
  return path.endsWith('/hard-state')
}

function checkHost({ node, peers, limits = {}, syncsAtOnce = SYNCS_AT_ONCE }: HostOptions): void {
  if (node === '') throw invalid('a node has a name')
  checkPeers(peers)
  for (const [name, value] of Object.entries({ ...limits, syncsAtOnce })) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw invalid(`the limit ${name} is a whole number above 0, not ${value}`)
  }
}
