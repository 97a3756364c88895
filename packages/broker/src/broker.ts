/**
 * One broker: a member of a replicated group that serves RocketMQ's clients.
 *
 *   clients ──► RemotingServer ──► Registry ──► processors ──► MessageStore
 *                                     └── not the leader ──► Forwarder ──► the leader's broker
 *   MessageStore ── role changed ──► broker id, registration with every name server, requests that wait for a leader
 *                └─ messages visible ──► LongPolling ──► the pulls that wait for them
 *
 * Keeps: what is opened here is closed here, in the order that `close` shows; one event, *role changed*, decides what is done.
 */
import { randomUUID } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { totalmem } from 'node:os'
import { assert, type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import { type HostAddress, hostAddress } from '@dledger-ts/protocol'
import { type Connection, type ProcessorTable, RemotingServer, type Sockets, Tls } from '@dledger-ts/remoting'
import {
  MessageStore,
  type MessageStoreOptions,
  type RebuildProgress,
  type RepairStatus,
  type SendsProgress,
  setAsideDirectories,
  StoreError,
} from '@dledger-ts/store'
import type { WantedUser } from './auth/plain-acl.ts'
import { readPlainAclFiles } from './auth/plain-acl-files.ts'
import { innerCredentials } from './config/access-keys.ts'
import type { BrokerConfig } from './config/config.ts'
import { retentionOptions } from './config/retention-keys.ts'
import { encodeAdvertised } from './forwarding/advertised.ts'
import type { SaveConfig } from './processors/config-changes.ts'
import { type BrokerRole, roleName } from './role.ts'
import { Serving } from './serving.ts'
import { haSecret } from './slaves/join-seal.ts'
import { Masters } from './slaves/masters.ts'
import { memberIdOf } from './slaves/member-id.ts'
import { advised } from './slaves/outdated.ts'
import { startingProcessors } from './starting.ts'

const VIP_PORT_DISTANCE = 2
const NO_REPAIRS: RepairStatus = { queues: 0, progress: null }

export interface BrokerOptions {
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
  /** The member has stopped for good after a storage failure or a broken invariant; the process should end. */
  readonly onFatal?: (error: Error) => void
  /** Puts keys that a tool changed (25) where the next start reads them. Default: they count until then. */
  readonly saveConfig?: SaveConfig
  /** Default: TCP, with TLS as the configuration says. */
  readonly sockets?: Sockets
  /** What the store is given besides what the configuration says: for simulations. */
  readonly storeOptions?: Partial<MessageStoreOptions>
}

/** What a broker says of itself; the fields and names of `status --json`. */
export interface BrokerStatus {
  readonly id: string
  readonly pid: number
  readonly addr: string
  /** 0 for the leader; null before this member has seen a leader. */
  readonly brokerId: number | null
  readonly role: BrokerRole['name']
  readonly term: number
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** How far a start is that applies much of the log again, also while the store is still being opened; null when none is. */
  readonly rebuild: RebuildProgress | null
  /** Queues whose files are built again while everything else is served. */
  readonly repairs: RepairStatus
  /** How far the log is read for sends that may be repeated, also while the store is still being opened; null when it is not. */
  readonly sendsRead: SendsProgress | null
  readonly up: boolean
  readonly storePath: string
}

export class Broker {
  readonly #config: BrokerConfig
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #onFatal: (error: Error) => void
  readonly #sockets: Sockets
  readonly #saveConfig: SaveConfig | undefined
  readonly #tls: Tls
  readonly #takenOverUsers: readonly WantedUser[]
  readonly #storeOptions: Partial<MessageStoreOptions>
  readonly #processors = new Map(startingProcessors())
  readonly #server: RemotingServer
  #serving: Serving | null = null
  #self: string
  /** Those who ask are answered by what serves, not told to come again. */
  #takesRequests = false
  /** A slave is about to copy its master from the beginning. */
  #beginning: Promise<void> | null = null
  /** What the store last told while it opened. */
  #rebuild: RebuildProgress | null = null
  #sendsRead: SendsProgress | null = null
  #isStarted = false
  #closing: Promise<void> | null = null

  /** @throws RemotingError `TLS_FILES` that names the key and the file; ConfigError for files of ACL 1.0. */
  constructor(config: BrokerConfig, options: BrokerOptions = {}) {
    this.#config = config
    this.#self = config.selfId
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#logger = options.logger ?? silentLogger
    this.#onFatal = options.onFatal ?? (() => {})
    this.#saveConfig = options.saveConfig
    this.#tls = new Tls({ server: config, client: config, clock: this.#clock, logger: this.#logger })
    this.#takenOverUsers = readPlainAclFiles(config, this.#logger)
    this.#sockets = options.sockets ?? this.#tls.sockets
    this.#storeOptions = options.storeOptions ?? {}
    const { listenPort } = config
    this.#server = new RemotingServer({
      host: config.bindAddress,
      ports: listenPort === 0 ? [0] : [listenPort, listenPort - VIP_PORT_DISTANCE],
      processors: this.#processors,
      clock: this.#clock,
      logger: this.#logger,
      idleCloseMs: config.channelExpiredTimeout,
      sockets: this.#sockets,
      connectionClosed: (connection: Connection) => this.#serving?.connectionClosed(connection),
    })
  }

  /**
   * Listens, opens the store, joins its group. Resolves when clients are served; who leads is seen later, in `status`.
   *
   * @throws RemotingError `LISTEN_FAILED`, StoreError; nothing stays open then.
   */
  async start(): Promise<void> {
    assert(!this.#isStarted, 'a broker is started once')
    this.#isStarted = true
    try {
      const storeHost = await resolveHost(this.#config.brokerIP1)
      // Before the store is touched: a busy port must change nothing on disk. Until it is open, requests are answered with 14.
      await this.#server.start()
      await this.#serve(storeHost)
      if (this.#closing === null) this.#tls.start()
    } catch (error) {
      await this.#server.close()
      throw advised(error)
    }
  }

  /** The ports clients are served on: `listenPort`, and the one two below it. */
  get ports(): readonly number[] {
    return this.#server.ports
  }

  /** Codes of requests that it serves; none before `start`. */
  get requestCodes(): readonly number[] {
    return this.#serving === null ? [] : [...this.#serving.processors.keys()]
  }

  /** The address that clients and name servers are told. */
  get address(): string {
    return `${this.#config.brokerIP1}:${this.ports[0] ?? this.#config.listenPort}`
  }

  /** For embedders and tests: null before `start` and after a failed one. */
  get store(): MessageStore | null {
    return this.#serving?.store ?? null
  }

  status(): BrokerStatus {
    const status = this.#serving?.store.status()
    return {
      id: this.#self,
      pid: process.pid,
      addr: this.address,
      brokerId: this.#serving?.role?.brokerId ?? null,
      role: status === undefined ? 'CANDIDATE' : roleName(status),
      term: status?.term ?? 0,
      firstIndex: status?.firstIndex ?? 0,
      lastIndex: status?.lastIndex ?? -1,
      commitIndex: status?.commitIndex ?? -1,
      appliedIndex: status?.appliedIndex ?? -1,
      rebuild: status === undefined ? this.#rebuild : status.rebuild,
      repairs: status?.repairs ?? NO_REPAIRS,
      sendsRead: status === undefined ? this.#sendsRead : status.sendsRead,
      up: this.#serving !== null && this.#closing === null,
      storePath: this.#config.storePathRootDir,
    }
  }

  /** Whether it serves its role: it leads and takes writes, or follows a leader that it knows. */
  healthy(): boolean {
    if (this.#serving === null || this.#closing !== null || !this.#takesRequests) return false
    const status = this.#serving.store.status()
    return status.ready || (status.leader !== null && status.leader !== status.self)
  }

  /**
   * Stops without a client noticing: hands over the leadership, says goodbye to the name servers, goes on forwarding for
   * `shutdownLingerMs` where another member leads now, then closes everything. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #serve(storeHost: Omit<HostAddress, 'port'>): Promise<void> {
    const config = this.#config
    const port = this.ports[0] ?? config.listenPort
    const mark = randomUUID()
    const { classic } = config
    const haListenPort = config.haListenPort === 0 ? port + 1 : config.haListenPort
    const credentials = innerCredentials(config)
    if (classic === 'master' && credentials === null) {
      const what =
        'without innerClientAuthenticationCredentials whoever reaches listenPort and haListenPort may copy everything that is stored here'
      this.#logger.warn({ listenPort: port, haListenPort }, what)
    }
    const { disk } = this.#storeOptions
    const directories = { dir: config.storePathRootDir, commitLogDir: config.storePathCommitLog }
    this.#self = memberIdOf(
      config,
      MessageStore.logIds({ ...directories, ...(disk === undefined ? {} : { disk }) }),
      this.#random,
    )
    const recentBytes = Math.floor((totalmem() * config.accessMessageInMemoryMaxRatio) / 100)
    const store = await MessageStore.open({
      dir: config.storePathRootDir,
      commitLogDir: config.storePathCommitLog,
      self: this.#self,
      ...(classic === null
        ? {}
        : {
            classic: {
              role: classic,
              listenPort: haListenPort,
              ...(credentials === null ? {} : { secret: haSecret(credentials) }),
            },
            onCopyAnswered: () => this.#serving?.copyAnswered(),
          }),
      group: config.group,
      peers: config.peers,
      advertised: encodeAdvertised({ address: this.address, mark }),
      flushDiskType: config.flushDiskType,
      asyncFlushIntervalMs: config.flushIntervalCommitLog,
      fileBytes: config.mappedFileSizeCommitLog,
      consumeQueueFileBytes: config.mappedFileSizeConsumeQueue,
      messageIndexEnable: config.messageIndexEnable,
      maxHashSlotNum: config.maxHashSlotNum,
      maxIndexNum: config.maxIndexNum,
      messageDelayLevel: config.messageDelayLevel,
      duplicateSendWindowMs: config.duplicateSendWindowMs,
      duplicateSendIdsMax: config.duplicateSendIdsMax,
      timerPrecisionMs: config.timerPrecisionMs,
      timerMaxDelayMs: config.timerMaxDelaySec * 1_000,
      preferredLeader: config.preferredLeaderId === '' ? null : config.preferredLeaderId,
      tickMs: config.raftTickMs,
      heartbeatMs: config.raftHeartbeatMs,
      electionTimeoutMs: config.raftElectionTimeoutMs,
      storageSlowMs: config.raftStorageSlowMs,
      storageHangMs: config.raftStorageHangMs,
      diskFreeBytesMin: config.diskFreeBytesMin,
      diskReserveBytes: config.diskReserveBytes,
      ...retentionOptions(config),
      scrubBytesPerSecond: config.scrubBytesPerSecond,
      catchUpBytesPerSecond: config.catchUpBytesPerSecond,
      hotBytesMax: config.hotBytesMax,
      assumeIntact: config.assumeIntact,
      listenHost: config.bindAddress,
      sockets: this.#tls.memberSockets,
      storeHost: { address: storeHost.address, port },
      inMemoryBytes: recentBytes,
      clock: this.#clock,
      logger: this.#logger,
      serveWhileRebuilding: true,
      onRebuild: (progress) => {
        this.#rebuild = progress
      },
      onSendsRead: (progress) => {
        this.#sendsRead = progress
      },
      onFatal: (error) => this.#onFatal(advised(error) as Error),
      ...this.#storeOptions,
    })
    // A `close` that came before found nothing to close; one that waits for a new beginning closes that.
    if (this.#closing !== null && this.#beginning === null) return store.close()
    this.#serving = new Serving({
      config,
      store,
      server: this.#server,
      clock: this.#clock,
      random: this.#random,
      logger: this.#logger,
      address: this.address,
      storeHost: { address: storeHost.address, port },
      ownMark: mark,
      recentBytes,
      sockets: this.#sockets,
      takenOverUsers: this.#takenOverUsers,
      ...(this.#saveConfig === undefined ? {} : { saveConfig: this.#saveConfig }),
      ...(classic === null
        ? {}
        : {
            classic: {
              haAddress: `${config.brokerIP2}:${haListenPort}`,
              masters: new Masters({
                brokerName: config.brokerName,
                ownAddress: this.address,
                namesrvAddresses: config.namesrvAddresses,
                clock: this.#clock,
                logger: this.#logger,
                sockets: this.#sockets,
                credentials,
              }),
              onParted: (lastIndex: number) => this.#beginAnew(storeHost, lastIndex),
              onForeign: (isForeign: boolean) => this.#serveForeign(isForeign),
            },
          }),
    })
    // It may hear that it was replaced on another way meanwhile, and end by itself.
    const failed = new Promise<void>((resolve) => void store.events.once('failed', () => resolve()))
    const why = await this.#serving.whyReplaced()
    // `close` ends what is open by now; nothing of it begins again.
    if (this.#closing !== null) return
    if (why !== null) await this.#endReplaced(store, why, failed)
    this.#useProcessors(this.#serving.processors)
    this.#serving.start()
  }

  #useProcessors(processors: ProcessorTable): void {
    this.#processors.clear()
    for (const [code, processor] of processors) this.#processors.set(code, processor)
    this.#takesRequests = processors === this.#serving?.processors
  }

  /** @throws StoreError OUTDATED, when the store has stopped. */
  async #endReplaced(store: MessageStore, why: string, failed: Promise<void>): Promise<never> {
    store.copies.outdated(why)
    await failed
    await this.#serving?.handOver()
    await this.#serving?.close()
    this.#serving = null
    throw new StoreError(why, { code: 'OUTDATED', what: why })
  }

  /** What is stored here has the offsets of the master's messages, and is not those. */
  #serveForeign(isForeign: boolean): void {
    if (this.#closing !== null || this.#serving === null) return
    const refusing = startingProcessors('the log of this slave is not of the master that is there')
    this.#useProcessors(isForeign ? refusing : this.#serving.processors)
  }

  /** The log of this slave parted from its master's after that entry: it is put aside, and the master's is copied from the beginning. */
  #beginAnew(storeHost: Omit<HostAddress, 'port'>, lastIndex: number): void {
    if (this.#closing !== null || this.#serving === null) return
    const { store } = this.#serving
    const entries = store.status().lastIndex - lastIndex
    const bytes = store.copies.bytesAfter(lastIndex)
    const what =
      'this slave has what its master does not have: its store is put aside, and the master is copied from the beginning'
    this.#logger.error({ lastIndex, entries, bytes }, what)
    this.#useProcessors(startingProcessors())
    this.#beginning = this.#replaceStore(storeHost, lastIndex).catch((error: unknown) => {
      this.#logger.error({ err: error }, 'the store could not be put aside')
      this.#onFatal(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #replaceStore(storeHost: Omit<HostAddress, 'port'>, lastIndex: number): Promise<void> {
    await this.#serving?.handOver()
    await this.#serving?.close()
    this.#serving = null
    const { storePathRootDir: dir, storePathCommitLog: commitLogDir } = this.#config
    const directory = setAsideDirectories({ dir, commitLogDir, self: this.#self, lastIndex })
    this.#logger.warn({ directory }, 'the former log is here, and is removed by nobody')
    if (this.#closing === null) await this.#serve(storeHost)
  }

  async #close(): Promise<void> {
    await this.#beginning
    await this.#serving?.handOver()
    await this.#server.close()
    await this.#serving?.close()
    this.#tls.close()
  }
}

/** The advertised host as bytes; records hold no names. @throws when the name cannot be resolved. */
async function resolveHost(host: string): Promise<HostAddress> {
  const { address } = await lookup(host, { family: 4 })
  return hostAddress(address, 0)
}
