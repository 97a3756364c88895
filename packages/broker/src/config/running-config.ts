/**
 * The configuration of a broker at work: the object that everything reads, and which of its keys a tool may change meanwhile.
 *
 * Keeps: a change is checked whole before any of it counts; a key that is read once, at the start, is refused, not taken without effect.
 */
import { type BrokerConfig, checkWhole, ConfigError, parseKey } from './config.ts'
import { CONFIG_KEYS, type ConfigKey } from './keys.ts'

type ConfigValue = string | number | boolean

/** Read each time they are used. A change of those that name servers hear of is told to them. */
export const CHANGEABLE_KEYS: ReadonlySet<string> = new Set<ConfigKey>([
  'brokerPermission',
  'defaultTopicQueueNums',
  'autoCreateTopicEnable',
  'autoCreateSubscriptionGroup',
  'clusterTopicEnable',
  'brokerTopicEnable',
  'traceTopicEnable',
  'storeReplyMessageEnable',
  'validateSystemTopicWhenUpdateTopic',
  'enableMixedMessageType',
  'clearRetryTopicWhenDeleteTopic',
  'longPollingEnable',
  'shortPollingTimeMills',
  'notifyConsumerIdsChangedEnable',
  'enablePropertyFilter',
  'filterSupportRetry',
  'slaveReadEnable',
  'useServerSideResetOffset',
  'litePullMessageEnable',
  'rejectPullConsumerEnable',
  'serverLoadBalancerEnable',
  'defaultMessageRequestMode',
  'defaultPopShareQueueNum',
  'enableRetryTopicV2',
  'retrieveMessageFromPopRetryTopicV1',
  'popFromRetryProbability',
  'defaultQueryMaxNum',
  'maxMsgsNumBatch',
  'maxMessageSize',
  'maxTransferBytesOnMessageInMemory',
  'maxTransferCountOnMessageInMemory',
  'maxTransferBytesOnMessageInDisk',
  'maxTransferCountOnMessageInDisk',
  'recallMessageEnable',
  'allowRecallWhenBrokerNotWriteable',
  'rejectTransactionMessage',
  'transactionTimeOut',
  'transactionCheckInterval',
  'transactionCheckMax',
  'shutdownLingerMs',
])

/** What may be changed of a configuration, by key. */
export type ConfigChanges = ReadonlyMap<ConfigKey, ConfigValue>

export class RunningConfig {
  /** Of this moment: whoever keeps it sees the next change. */
  readonly values: BrokerConfig
  readonly #values: Record<string, unknown>
  #changeCount = 0

  /** How often it was changed since the start. */
  get changeCount(): number {
    return this.#changeCount
  }

  constructor(config: BrokerConfig) {
    const values = { ...config }
    this.values = values
    this.#values = values as unknown as Record<string, unknown>
  }

  /**
   * What differs from now. Keys that are unknown, or that Apache's broker has and this one does not, are left out, as Apache's does.
   *
   * @throws ConfigError for a value that cannot be, or a key that counts from the next start on only.
   */
  changes(wanted: ReadonlyMap<string, string>): ConfigChanges {
    const changes = new Map<ConfigKey, ConfigValue>()
    for (const [name, text] of wanted) {
      if (!Object.hasOwn(CONFIG_KEYS, name)) continue
      const key = name as ConfigKey
      const value = parseKey(key, text.trim())
      if (value === this.values[key]) continue
      if (!CHANGEABLE_KEYS.has(key)) {
        const what = `${key} cannot change while the broker runs: change it in the configuration file and restart the broker`
        throw new ConfigError(what, { code: 'INVALID_CONFIG', key, value: text })
      }
      changes.set(key, value)
    }
    checkWhole({ ...this.values, ...Object.fromEntries(changes) })
    return changes
  }

  change(changes: ConfigChanges): void {
    this.#changeCount++
    for (const [key, value] of changes) this.#values[key] = value
  }
}
