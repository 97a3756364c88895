/**
 * A broker at work: everything that exists while its store is open.
 *
 * Keeps:
 *   - while the leadership is handed over, what the store refuses for it waits for the next leader, nothing is lost by it;
 *   - name servers hear of a role, a new leader's term and a change of topics at once;
 *   - a slave whose log is not of the master that is there has no role: the same offsets are other messages there.
 */
import type { Clock, Logger, Random } from '@dledger-ts/base'
import { type HostAddress, isReadable, SystemTopic, UniqKeyGenerator } from '@dledger-ts/protocol'
import {
  type Connection,
  NotifyConsumerIdsChangedRequest,
  type ProcessorTable,
  type RemotingCommand,
  type RemotingServer,
  type Sockets,
} from '@dledger-ts/remoting'
import type { MessageStore, StoreStatus } from '@dledger-ts/store'
import { AccessControl } from './auth/access-control.ts'
import { InitialUsers } from './auth/initial-users.ts'
import type { WantedUser } from './auth/plain-acl.ts'
import { accessProcessors } from './processors/access.ts'
import { type ConsumerGroup, ConsumerTable } from './client-manager/consumer-table.ts'
import { ProducerTable } from './client-manager/producer-table.ts'
import type { BrokerConfig } from './config/config.ts'
import { RunningConfig } from './config/running-config.ts'
import type { BrokerContext } from './context.ts'
import { accessSettings, innerCredentials } from './config/access-keys.ts'
import { CompiledExpressions } from './filter/compiled-expressions.ts'
import { Forwarder } from './forwarding/forwarder.ts'
import { GroupTable } from './groups/group-table.ts'
import { LongPolling } from './long-polling.ts'
import { PopServing } from './pop/pop-serving.ts'
import { assignmentProcessors } from './processors/assignment.ts'
import { clientRelayProcessors } from './processors/client-relay.ts'
import { clientProcessors } from './processors/client.ts'
import { configChangeProcessors, type SaveConfig } from './processors/config-changes.ts'
import { groupChangeProcessors } from './processors/group-changes.ts'
import { lockProcessors } from './processors/lock.ts'
import { offsetResetProcessors } from './processors/offset-resets.ts'
import { offsetProcessors } from './processors/offset.ts'
import { type Pull, PullProcessor, pullProcessors } from './processors/pull.ts'
import { queryProcessors } from './processors/query.ts'
import { recallProcessors } from './processors/recall.ts'
import { Registry } from './processors/registry.ts'
import { sendBackProcessors } from './processors/send-back.ts'
import { sendProcessors } from './processors/send.ts'
import { cleanUpProcessors } from './processors/clean-up.ts'
import { topicChangeProcessors } from './processors/topic-changes.ts'
import { topicProcessors } from './processors/topic.ts'
import { transactionProcessors } from './processors/transaction.ts'
import { inspectionProcessors } from './processors/admin/inspection.ts'
import { type Identity, registrationOf, unregistrationOf } from './registration/registration.ts'
import { Registrar } from './registration/registrar.ts'
import { type BrokerRole, roleOf } from './role.ts'
import { BrokerStatistics } from './statistics/broker-statistics.ts'
import { slaveProcessors } from './processors/slave.ts'
import { untilSlaveHasAll } from './slaves/last-entries.ts'
import { masterWatchOf, slaveGateOf, slaveLinkOf } from './slaves/parts.ts'
import type { MasterWatch } from './slaves/master-watch.ts'
import type { Masters } from './slaves/masters.ts'
import type { SlaveGate } from './slaves/slave-gate.ts'
import type { SlaveLink } from './slaves/slave-link.ts'
import { TopicTable } from './topics/topic-table.ts'
import { TransactionChecks } from './transaction/transaction-checks.ts'
import { TransactionProducers } from './transaction/transaction-producers.ts'

/** Silent clients are looked for, and the statistics noted, so often. */
const SCAN_MS = 10_000

export interface ServingOptions {
  readonly config: BrokerConfig
  readonly store: MessageStore
  readonly server: RemotingServer
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** What clients and name servers are told. */
  readonly address: string
  /** The same as records hold it. */
  readonly storeHost: HostAddress
  readonly ownMark: string
  /** Bytes of newest messages that count as recent. */
  readonly recentBytes: number
  readonly sockets: Sockets
  /** Of ACL 1.0. */
  readonly takenOverUsers: readonly WantedUser[]
  /** Absent: what tools change counts until the next start. */
  readonly saveConfig?: SaveConfig
  /** A master by configuration, or a slave; absent: neither. */
  readonly classic?: {
    /** Where this one is reached by the other. */
    readonly haAddress: string
    readonly masters: Masters
    /** See SlaveLink. */
    readonly onParted: (lastIndex: number) => void
    /** The log here is not of the master that is there: it is served to nobody; or it is again. */
    readonly onForeign: (isForeign: boolean) => void
  }
}

export class Serving {
  readonly store: MessageStore
  readonly processors: ProcessorTable
  readonly #options: ServingOptions
  /** As tools have changed it. */
  readonly #config: BrokerConfig
  readonly #topics: TopicTable
  readonly #consumers: ConsumerTable<Connection>
  readonly #producers: ProducerTable<Connection>
  readonly #transactionProducers: TransactionProducers
  readonly #transactionChecks: TransactionChecks
  readonly #statistics: BrokerStatistics
  readonly #polling: LongPolling<Pull>
  readonly #pop: PopServing
  readonly #forwarder: Forwarder
  readonly #registrars: readonly Registrar[]
  readonly #initialUsers: InitialUsers
  readonly #unsubscribe: (() => void)[] = []
  readonly #slaveGate: SlaveGate | null
  readonly #slaveLink: SlaveLink | null
  readonly #masterWatch: MasterWatch | null
  #role: BrokerRole | null = null
  #registeredTerm = -1
  #isForeign = false
  #isEnding = false
  /** How often tools have changed what name servers are told; a part of the data version, without which they would not look. */
  #configVersion = 0
  #cancelScan: (() => void) | null = null
  #lingerEnded: (() => void) | null = null

  constructor(options: ServingOptions) {
    const { store, clock, random, logger } = options
    const running = new RunningConfig(options.config)
    const config = running.values
    this.#config = config
    this.#options = options
    this.store = store
    this.#topics = new TopicTable(config, store)
    this.#statistics = new BrokerStatistics(clock, config.brokerClusterName)
    this.#consumers = new ConsumerTable(
      (group) => this.#membersChanged(group),
      (connection, group, topic) => {
        this.#polling.wakeTopic(topic, (pull) => pull.connection === connection && pull.header.consumerGroup === group)
      },
    )
    this.#producers = new ProducerTable((group) => this.#transactionChecks.producerAppeared(group))
    this.#transactionProducers = new TransactionProducers(this.#producers)
    this.#transactionChecks = new TransactionChecks({
      store,
      producers: this.#transactionProducers,
      clock,
      logger,
      config,
    })
    const dispatch = {
      isLeader: () => store.isReady(),
      isRebuilding: () => store.isRebuilding(),
      hasOtherLeader: () => {
        const { leader, self } = store.status()
        return leader !== null && leader !== self
      },
      logger,
    }
    this.#forwarder = new Forwarder({
      ...dispatch,
      clock,
      ownMark: options.ownMark,
      sockets: options.sockets,
      status: () => store.status(),
      run: (connection, request) => registry.run(connection, request),
    })
    this.#slaveGate = slaveGateOf(config, store, clock)
    this.#slaveLink = slaveLinkOf(options, (verdict) => this.#judged(verdict))
    this.#masterWatch = masterWatchOf(options)
    const access = new AccessControl({
      settings: accessSettings(config),
      access: () => store.access(),
      originOf: (connection, request) => this.#forwarder.originOf(connection, request),
    })
    const context: BrokerContext = {
      config,
      configVersion: () => running.changeCount,
      access,
      store,
      topics: this.#topics,
      groups: new GroupTable(config, store, logger),
      consumers: this.#consumers,
      producers: this.#producers,
      transactionProducers: this.#transactionProducers,
      transactionChecks: this.#transactionChecks,
      expressions: new CompiledExpressions(),
      clock,
      random,
      logger,
      uniqKeys: new UniqKeyGenerator({
        address: options.storeHost.address,
        pid: process.pid,
        instance: random.below(0x1_0000_0000),
        clock,
      }),
      statistics: this.#statistics,
      slaveGate: this.#slaveGate,
      address: options.address,
      storeHost: options.storeHost,
      bornHostOf: (connection, request) => this.#forwarder.bornHostOf(connection, request),
      isFromMember: (request) => this.#forwarder.isFromMember(request),
      retryOnLeader: (connection, request) => this.#forwarder.retry(connection, request),
    }
    const pulls = new PullProcessor(context, { recentBytes: options.recentBytes })
    this.#polling = new LongPolling(clock, (pull) => pulls.resume(pull))
    pulls.holdIn(this.#polling)
    this.#pop = new PopServing(context)
    const registry = new Registry(
      new Map([
        ...sendProcessors(context),
        ...sendBackProcessors(context),
        ...pullProcessors(pulls),
        ...offsetProcessors(context),
        ...offsetResetProcessors(context, (group, topic, queueIds) =>
          this.#groupMoved(group, topic, new Set(queueIds)),
        ),
        ...groupChangeProcessors(context),
        ...clientRelayProcessors(context),
        ...configChangeProcessors(context, {
          running,
          save: options.saveConfig ?? (() => Promise.resolve()),
          changed: () => this.#configChanged(),
        }),
        ...queryProcessors(context),
        ...clientProcessors(context),
        ...lockProcessors(context),
        ...topicProcessors(context),
        ...topicChangeProcessors(context),
        ...cleanUpProcessors(context),
        ...inspectionProcessors(context),
        ...assignmentProcessors(context),
        ...transactionProcessors(context),
        ...recallProcessors(context),
        ...accessProcessors(context),
        ...slaveProcessors(context),
        ...this.#pop.processors(),
      ]),
      {
        ...dispatch,
        ...(config.authenticationEnabled ? { access } : {}),
        caughtUp: () => store.caughtUp(),
        forward: (connection, request) => this.#forwarder.forward(connection, request),
        retry: (connection, request) => this.#forwarder.retry(connection, request),
      },
    )
    this.processors = registry.table()
    this.#initialUsers = new InitialUsers({ config, takenOver: options.takenOverUsers, store, clock, logger })
    const credentials = innerCredentials(config)
    this.#registrars = config.namesrvAddresses.map(
      (address) =>
        new Registrar({
          address,
          clock,
          logger,
          periodMs: config.registerNameServerPeriod,
          timeoutMs: config.registerBrokerTimeoutMills,
          sockets: options.sockets,
          registration: () => this.#registration(),
          unregistration: () => this.#unregistration(),
          ...(credentials === null ? {} : { credentials }),
        }),
    )
  }

  /** A slave has said how far it is. Hot. */
  copyAnswered(): void {
    this.#slaveGate?.answered()
  }

  /** @returns why this master leads nobody any more; null where it goes on, and for whoever is none. */
  async whyReplaced(): Promise<string | null> {
    return (await this.#masterWatch?.whyReplaced()) ?? null
  }

  /** Null before this member has seen a leader. */
  get role(): BrokerRole | null {
    return this.#role
  }

  start(): void {
    const { store } = this
    this.#unsubscribe.push(
      store.onRoleChange({ roleChanged: (status) => this.#roleChanged(status) }),
      store.onMessages({
        messageArrived: (topic, queueId, tagsCode, _queueOffset, recordBytes) => {
          this.#statistics.arrived(topic, recordBytes)
          this.#polling.arrived(topic, queueId, tagsCode)
          this.#pop.arrived(topic, queueId, tagsCode)
          if (topic === SystemTopic.TRANSACTION_HALF) this.#transactionChecks.halfStored()
        },
      }),
      store.onTopicsChanged(() => {
        this.#register()
        this.#polling.wakeTopics((topic) => !isReadable(this.#topics.find(topic)?.perm ?? 0))
      }),
    )
    this.#slaveGate?.start()
    this.#roleChanged(store.status())
    this.#slaveLink?.start()
    this.#masterWatch?.start()
    this.#scheduleScan()
  }

  connectionClosed(connection: Connection): void {
    this.#polling.closed(connection)
    this.#pop.connectionClosed(connection)
    this.#consumers.closed(connection)
    this.#producers.closed(connection)
    this.#transactionProducers.closed(connection)
    if (this.#options.server.connections.size === 0) this.#lingerEnded?.()
  }

  /** The first half of a clean stop: another member leads, name servers no longer name this one, late requests are forwarded. */
  async handOver(): Promise<void> {
    const { logger } = this.#options
    const config = this.#config
    let isHandedOver = false
    this.#isEnding = true
    this.#slaveLink?.close()
    this.#masterWatch?.close()
    if (config.classic === null && this.store.isReady()) {
      isHandedOver = await this.store.transferLeadership()
      logger.info({ isHandedOver, leader: this.store.status().leader }, 'leadership given away')
    }
    await Promise.all(this.#registrars.map((registrar) => registrar.close()))
    if (isHandedOver) await this.#linger(config.shutdownLingerMs)
    this.#forwarder.close()
  }

  /** The second half, after the server has closed its connections. */
  async close(): Promise<void> {
    this.#cancelScan?.()
    this.#slaveGate?.close()
    this.#transactionChecks.stop()
    this.#initialUsers.stop()
    this.#pop.stop()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    if (this.#config.classic === 'master') await untilSlaveHasAll(this.store, this.#options.clock)
    await this.store.close()
  }

  #roleChanged(status: StoreStatus): void {
    const previous = this.#role
    this.#role = this.#isForeign ? null : roleOf(status, this.#config, previous)
    this.#initialUsers.roleChanged()
    this.#masterWatch?.roleChanged()
    this.#forwarder.leaderChanged()
    this.#transactionChecks.roleChanged(status.term)
    this.#pop.roleChanged()
    if (this.#role === null) return
    const isNewRole = previous?.brokerId !== this.#role.brokerId
    if (isNewRole) {
      const { brokerId, name } = this.#role
      this.#options.logger.info({ brokerId, role: name, term: status.term, leader: status.leader }, 'role changed')
    }
    // A leader that was elected again has a newer data version, without which its topics would count as known.
    if (isNewRole || (this.#role.isLeader && this.#registeredTerm !== status.term)) {
      this.#registeredTerm = status.term
      this.#register()
    }
  }

  /** A master has compared this slave's log with its own. */
  #judged(verdict: string): void {
    const isForeign = verdict === 'FOREIGN'
    if (isForeign === this.#isForeign || (!isForeign && verdict !== 'FITS') || this.#isEnding) return
    this.#isForeign = isForeign
    // While the role is known by which it is listed.
    if (isForeign) for (const registrar of this.#registrars) registrar.withdraw()
    this.#options.classic?.onForeign(isForeign)
    this.#roleChanged(this.store.status())
  }

  #register(): void {
    for (const registrar of this.#registrars) registrar.register()
  }

  #registration(): RemotingCommand | null {
    const identity = this.#identity()
    if (identity === null) return null
    const version = this.store.dataVersion()
    return registrationOf(identity, this.#topics.all(), {
      // A follower may have applied nothing of this term yet.
      dataVersion: {
        ...version,
        timestamp: version.timestamp + this.#configVersion,
        stateVersion: this.store.status().term,
      },
      brokerPermission: this.#config.brokerPermission,
    })
  }

  #unregistration(): RemotingCommand | null {
    const identity = this.#identity()
    return identity === null ? null : unregistrationOf(identity)
  }

  #identity(): Identity | null {
    if (this.#role === null) return null
    const { address } = this.#options
    const config = this.#config
    return {
      clusterName: config.brokerClusterName,
      brokerName: config.brokerName,
      address,
      brokerId: this.#role.brokerId,
      haAddress: this.#options.classic?.haAddress ?? address,
    }
  }

  /** Tells every member of a group to share out the queues anew. */
  #membersChanged(group: ConsumerGroup<Connection>): void {
    const isWanted = this.store.groups().get(group.name)?.notifyConsumerIdsChangedEnable ?? true
    if (group.isBroadcast || !isWanted || !this.#config.notifyConsumerIdsChangedEnable) return
    for (const connection of group.members.keys()) {
      connection.oneway(NotifyConsumerIdsChangedRequest.request({ consumerGroup: group.name }))
    }
  }

  #configChanged(): void {
    this.#topics.configChanged()
    this.#configVersion++
    this.#register()
    if (!isReadable(this.#config.brokerPermission)) this.#polling.wakeTopics(() => true)
  }

  /** Pulls and pops that wait are answered with where the group goes on. */
  #groupMoved(group: string, topic: string, queueIds: ReadonlySet<number>): void {
    this.#polling.wakeTopic(topic, ({ header }) => header.consumerGroup === group && queueIds.has(header.queueId))
    this.#pop.groupMoved(group, topic, queueIds)
  }

  #scheduleScan(): void {
    const { clock } = this.#options
    const config = this.#config
    this.#cancelScan = clock.after(SCAN_MS, () => {
      const nowMs = clock.monotonicMs()
      const silent = new Set([
        ...this.#consumers.expire(nowMs, config.channelExpiredTimeout),
        ...this.#producers.expire(nowMs, config.channelExpiredTimeout),
      ])
      for (const connection of silent) connection.close()
      this.#statistics.tick()
      this.#scheduleScan()
    })
  }

  /** Waits `lingerMs`, or less when nobody is connected any more. */
  #linger(lingerMs: number): Promise<void> {
    if (this.#options.server.connections.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(lingerMs, resolve)
      this.#lingerEnded = () => {
        cancel()
        resolve()
      }
    })
  }
}
