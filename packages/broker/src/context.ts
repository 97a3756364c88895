/**
 * What the processors share. Made once by `broker.ts`; nothing here is replaced while the broker lives.
 */
import type { Clock, Logger, Random } from '@dledger-ts/base'
import type { HostAddress, UniqKeyGenerator } from '@dledger-ts/protocol'
import type { Connection, RemotingCommand } from '@dledger-ts/remoting'
import type { MessageStoreApi } from '@dledger-ts/store'
import type { AccessControl } from './auth/access-control.ts'
import type { ConsumerTable } from './client-manager/consumer-table.ts'
import type { ProducerTable } from './client-manager/producer-table.ts'
import type { BrokerConfig } from './config/config.ts'
import type { CompiledExpressions } from './filter/compiled-expressions.ts'
import type { GroupTable } from './groups/group-table.ts'
import type { BrokerStatistics } from './statistics/broker-statistics.ts'
import type { SlaveGate } from './slaves/slave-gate.ts'
import type { TopicTable } from './topics/topic-table.ts'
import type { TransactionChecks } from './transaction/transaction-checks.ts'
import type { TransactionProducers } from './transaction/transaction-producers.ts'

export interface BrokerContext {
  readonly config: BrokerConfig
  /** How often tools have changed it since the start. */
  configVersion(): number
  readonly store: MessageStoreApi
  readonly topics: TopicTable
  readonly groups: GroupTable
  readonly consumers: ConsumerTable<Connection>
  readonly producers: ProducerTable<Connection>
  readonly transactionProducers: TransactionProducers
  readonly transactionChecks: TransactionChecks
  readonly expressions: CompiledExpressions
  readonly access: AccessControl
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly uniqKeys: UniqKeyGenerator
  readonly statistics: BrokerStatistics
  /** What answers sends when slaves have them; null: sends are answered when they are stored. */
  readonly slaveGate: SlaveGate | null
  /** What clients and name servers are told. */
  readonly address: string
  /** The advertised address as records hold it. */
  readonly storeHost: HostAddress
  /** The host that a message was born on: the client's, also when another member forwarded the request. */
  bornHostOf(connection: Connection, request: RemotingCommand): HostAddress
  /** Whether another member of the group passed it on, and waits for the answer for a moment only. */
  isFromMember(request: RemotingCommand): boolean
  /** The store refused with NOT_LEADER: the request is done by the next leader. @returns false to answer it instead. */
  retryOnLeader(connection: Connection, request: RemotingCommand): boolean
}
