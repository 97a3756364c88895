/**
 * The topics as clients see them: what the log says, over what every broker with this configuration has from the start.
 *
 * Keeps: only a leader creates a topic, through the log; a follower shows the same table once it has applied the change.
 */
import {
  isInherited,
  isRetryTopic,
  parseDelayLevels,
  Permission,
  SystemTopic,
  systemTopicConfigs,
} from '@dledger-ts/protocol'
import { defaultTopicConfig, type MessageStoreApi, type TopicConfig } from '@dledger-ts/store'
import type { BrokerConfig } from '../config/config.ts'

const REVIVE_QUEUES = 8
/** Queues of the topics that retries and dead letters of a group get. */
export const RETRY_QUEUES = 1
/** The topic of the store's own records. No client writes to it. */
export const CONTROL_TOPIC = 'rmq_sys_dledger'
/** Bits of topicSysFlag. Source: TopicSysFlag. */
const TOPIC_FLAG_UNIT = 1
const TOPIC_FLAG_UNIT_SUBSCRIPTION = 2

type Topics = Pick<MessageStoreApi, 'topics' | 'createTopic'>

export interface NewTopicWish {
  readonly topic: string
  /** The topic whose settings the new one takes: TBW102. */
  readonly defaultTopic: string
  readonly queueNums: number
  readonly unitMode: boolean
}

export class TopicTable {
  readonly #store: Topics
  readonly #config: BrokerConfig
  #system: ReadonlyMap<string, TopicConfig>

  constructor(config: BrokerConfig, store: Topics) {
    this.#store = store
    this.#config = config
    this.#system = systemTopics(config)
  }

  /** A tool changed keys. */
  configChanged(): void {
    this.#system = systemTopics(this.#config)
  }

  // Hot: runs for each send and each pull.
  find(topic: string): TopicConfig | undefined {
    return this.#store.topics().get(topic) ?? this.#system.get(topic)
  }

  /** Every topic by name; what the log says wins. */
  all(): Map<string, TopicConfig> {
    const all = new Map(this.#system)
    for (const [name, config] of this.#store.topics()) all.set(name, config)
    return all
  }

  /** Whether the configuration makes it a topic of the system, or its name does. */
  isOfSystem(topic: string): boolean {
    return this.#system.has(topic)
  }

  /** Topics that the configuration makes. */
  systemNames(): Iterable<string> {
    return this.#system.keys()
  }

  /** A topic for the first message sent to it. @returns null when it may not be created. */
  async createForSend(wish: NewTopicWish): Promise<TopicConfig | null> {
    if (isRetryTopic(wish.topic)) {
      return this.createForRetry(wish.topic, RETRY_QUEUES, wish.unitMode)
    }
    const model = this.find(wish.defaultTopic)
    if (wish.topic === CONTROL_TOPIC || model === undefined || !isInherited(model.perm)) return null
    const queueNums = Math.max(0, Math.min(wish.queueNums, model.writeQueueNums))
    return this.#store.createTopic({
      ...defaultTopicConfig(wish.topic, queueNums, model.perm & ~Permission.INHERIT),
      topicFilterType: model.topicFilterType,
      topicSysFlag: wish.unitMode ? TOPIC_FLAG_UNIT : 0,
    })
  }

  /** The topic of a group's retries or dead letters. */
  async createForRetry(topic: string, queueNums: number, unitMode: boolean): Promise<TopicConfig> {
    return (
      this.find(topic) ??
      this.#store.createTopic({
        ...defaultTopicConfig(topic, queueNums),
        topicSysFlag: unitMode ? TOPIC_FLAG_UNIT_SUBSCRIPTION : 0,
      })
    )
  }
}

function systemTopics(config: BrokerConfig): Map<string, TopicConfig> {
  const table = new Map<string, TopicConfig>()
  const made = systemTopicConfigs({
    clusterName: config.brokerClusterName,
    brokerName: config.brokerName,
    autoCreateTopicEnable: config.autoCreateTopicEnable,
    clusterTopicEnable: config.clusterTopicEnable,
    brokerTopicEnable: config.brokerTopicEnable,
    traceTopicEnable: false,
    defaultTopicQueueNums: config.defaultTopicQueueNums,
    delayLevelCount: parseDelayLevels(config.messageDelayLevel).length,
    reviveQueueNum: REVIVE_QUEUES,
  })
  for (const { topic, writeQueueNums, perm } of made) {
    if (topic === SystemTopic.WHEEL_TIMER && !config.timerWheelEnable) continue
    table.set(topic, defaultTopicConfig(topic, writeQueueNums, perm))
  }
  if (config.traceTopicEnable) table.set(config.msgTraceTopicName, defaultTopicConfig(config.msgTraceTopicName, 1))
  return table
}
