/**
 * What tools ask of consumer groups: how far they are (208, 317), who consumes a topic (300), which topics (343), by which subscription (345).
 *
 * Every member answers: the leader with what consumers told it last, a follower with what it has applied, a fraction of a second behind.
 *
 * Source: AdminBrokerProcessor.
 */
import {
  type Connection,
  consumerOffsetsEntry,
  consumeStatsText,
  createResponse,
  encodeConsumeStatsList,
  encodeGroupList,
  encodeSubscriptionOf,
  encodeTopicList,
  GetBrokerConsumeStatsRequest,
  GetConsumeStatsRequest,
  QuerySubscriptionByConsumerRequest,
  QueryTopicConsumeByWhoRequest,
  QueryTopicsByConsumerRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { subscriptionData } from '../../client-manager/subscription.ts'
import type { BrokerContext } from '../../context.ts'
import type { Processor } from '../registry.ts'
import { BODY_BYTES_MAX, sized, tooLarge } from './answer-size.ts'
import type { Scans } from './scans.ts'

/** Of one queue in an answer. */
const QUEUE_BYTES_MIN = 100

interface GroupQueue {
  readonly topic: string
  readonly queueId: number
}

interface QueueProgress {
  readonly entry: readonly [string, string]
  readonly diff: number
}

export function groupProcessors(context: BrokerContext, scans: Scans): [number, Processor][] {
  const { config, store, topics, consumers, statistics } = context
  const { brokerName } = config

  async function progress(group: string, { topic, queueId }: GroupQueue): Promise<QueueProgress> {
    const brokerOffset = store.maxOffset(topic, queueId)
    const consumerOffset = Math.max(0, store.consumerOffset(group, topic, queueId) ?? 0)
    const lastTimestamp = await scans.storeTime(topic, queueId, consumerOffset - 1)
    const offsets = { brokerOffset, consumerOffset, lastTimestamp, pullOffset: consumerOffset }
    return { entry: consumerOffsetsEntry({ brokerName, queueId, topic }, offsets), diff: brokerOffset - consumerOffset }
  }

  /** While a group is online, what it does not subscribe to any more is left out. */
  function subscribes(group: string, topic: string): boolean {
    const subscriptions = consumers.group(group)?.subscriptions
    return subscriptions === undefined || subscriptions.size === 0 || subscriptions.has(topic)
  }

  function topicsOf({ consumerGroup, topic, topicList }: GetConsumeStatsRequest): readonly string[] {
    const listed = (topicList ?? '').split(';').filter((name) => name !== '')
    if (listed.length > 0) return [...new Set(listed)]
    const asked = (topic ?? '').trim() === '' ? store.consumerOffsets(consumerGroup).keys() : [topic as string]
    return [...asked].filter((name) => subscribes(consumerGroup, name))
  }

  async function consumeStats(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = GetConsumeStatsRequest.decode(request.extFields)
    const { consumerGroup: group } = header
    const queues: GroupQueue[] = []
    let consumeTps = 0
    for (const topic of topicsOf(header)) {
      const found = topics.find(topic)
      if (found === undefined) continue
      const bytesMin = (queues.length + found.readQueueNums) * QUEUE_BYTES_MIN
      if (bytesMin > BODY_BYTES_MAX) return tooLarge(bytesMin)
      for (let queueId = 0; queueId < found.readQueueNums; queueId++) queues.push({ topic, queueId })
      consumeTps += statistics.groupGetTps(group, topic)
    }
    const found = await scans.run(queues.length, (i) => progress(group, queues[i] as GroupQueue))
    const text = consumeStatsText(
      found.map(({ entry }) => entry),
      consumeTps,
    )
    return sized(Buffer.from(text))
  }

  async function brokerConsumeStats(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { isOrder } = GetBrokerConsumeStatsRequest.decode(request.extFields)
    const groups = [...store.groups().keys()]
    let totalDiff = 0
    let bytes = 0
    // One group after the other, for all of them together may have very many queues.
    const texts = new Map<string, readonly string[]>()
    for (const group of groups) {
      const stats = await groupStats(group, isOrder)
      totalDiff += stats.diff
      bytes += stats.texts.reduce((sum, text) => sum + text.length, group.length)
      if (bytes > BODY_BYTES_MAX) return tooLarge(bytes)
      texts.set(group, stats.texts)
    }
    const brokerAddr = context.address
    const body = encodeConsumeStatsList({ brokerAddr, groups: [...texts], totalDiff, totalInflightDiff: 0 })
    return sized(body)
  }

  async function groupStats(group: string, isOrder: boolean): Promise<{ texts: string[]; diff: number }> {
    const texts: string[] = []
    let diff = 0
    const names = [...store.consumerOffsets(group).keys()].filter((topic) => subscribes(group, topic))
    // A pass of its own for each group, also for one that has nothing.
    if (names.length === 0) await scans.run(1, () => undefined)
    for (const topic of names) {
      const found = topics.find(topic)
      if (found === undefined || (isOrder && !found.order)) continue
      const queues = await scans.run(found.writeQueueNums, (queueId) => progress(group, { topic, queueId }))
      diff += queues.reduce((sum, queue) => sum + queue.diff, 0)
      const entries = queues.map(({ entry }) => entry)
      texts.push(consumeStatsText(entries, statistics.groupGetTps(group, topic)))
    }
    return { texts, diff }
  }

  async function consumedByWhom(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic } = QueryTopicConsumeByWhoRequest.decode(request.extFields)
    const found = new Set<string>()
    for (const group of consumers.groups()) if (group.subscriptions.has(topic)) found.add(group.name)
    const kept = [...store.groupsWithOffsets()]
    await scans.run(kept.length, (i) => {
      const group = kept[i] as string
      if (!found.has(group) && store.consumerOffsets(group).has(topic)) found.add(group)
    })
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeGroupList([...found]))
  }

  function topicsByConsumer(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { group } = QueryTopicsByConsumerRequest.decode(request.extFields)
    const topicList = [...store.consumerOffsets(group).keys()]
    const body = encodeTopicList({ topicList, brokerAddr: context.address })
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  function subscriptionByConsumer(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { group, topic } = QuerySubscriptionByConsumerRequest.decode(request.extFields)
    const found = consumers.group(group)?.subscriptions.get(topic)
    const body = encodeSubscriptionOf(group, topic, found === undefined ? undefined : subscriptionData(found))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  return [
    [RequestCode.GET_CONSUME_STATS, { served: 'here', handle: consumeStats }],
    [RequestCode.GET_BROKER_CONSUME_STATS, { served: 'here', handle: brokerConsumeStats }],
    [RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { served: 'here', handle: consumedByWhom }],
    [RequestCode.QUERY_TOPICS_BY_CONSUMER, { served: 'here', handle: topicsByConsumer }],
    [RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, { served: 'here', handle: subscriptionByConsumer }],
  ]
}
