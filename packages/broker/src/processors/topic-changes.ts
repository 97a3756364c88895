/**
 * Topics created, changed and deleted by tools: UPDATE_AND_CREATE_TOPIC (17), UPDATE_AND_CREATE_TOPIC_LIST (18),
 * DELETE_TOPIC_IN_BROKER (215).
 *
 * Keeps: a list is checked whole before its first topic is changed; topics of the system are neither changed nor deleted.
 *
 * Source: AdminBrokerProcessor, TopicConfigManager.
 */
import { isSystemTopic, topicNameError } from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  CreateTopicRequest,
  decodeTopicConfigList,
  DeleteTopicRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  topicConfigText,
} from '@dledger-ts/remoting'
import { QUEUE_COUNT_MAX, type TopicConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { popRetryTopicV1, popRetryTopicV2 } from '../pop/retry-topics.ts'
import { AttributeError, changedAttributes, makesMixed, parseAttributeChanges } from '../topics/topic-attributes.ts'
import { CONTROL_TOPIC } from '../topics/topic-table.ts'
import type { Processor } from './registry.ts'

/** Of retries and dead letters; of others there are fewer. */
const TOPIC_LENGTH_MAX = 255

/** A topic as a tool wants it; its attributes are changes. */
interface Wish extends Omit<TopicConfig, 'attributes'> {
  readonly changes: ReadonlyMap<string, string>
}

export function topicChangeProcessors(context: BrokerContext): [number, Processor][] {
  const { config, store, topics } = context

  async function updateTopic(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = CreateTopicRequest.decode(request.extFields)
    return answerFaults(async () => {
      await change([
        {
          topicName: header.topic,
          readQueueNums: header.readQueueNums,
          writeQueueNums: header.writeQueueNums,
          perm: header.perm,
          topicFilterType: header.topicFilterType,
          topicSysFlag: header.topicSysFlag ?? 0,
          order: header.order,
          changes: parseAttributeChanges(header.attributes ?? ''),
        },
      ])
    })
  }

  async function updateTopics(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const wanted = decodeTopicConfigList(request.bodyBytes)
    return answerFaults(() =>
      change(wanted.map(({ attributes, ...topic }) => ({ ...topic, changes: new Map(Object.entries(attributes)) }))),
    )
  }

  async function deleteTopic(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic } = DeleteTopicRequest.decode(request.extFields)
    return answerFaults(async () => {
      if (topic.trim() === '') throw new Refused('The specified topic is blank.')
      // Looked for with each group's name behind it: of megabytes that would take minutes.
      if (topic.length > TOPIC_LENGTH_MAX) throw new Refused(`A topic has at most ${TOPIC_LENGTH_MAX} characters.`)
      refuseOfSystem(topic)
      if (config.clearRetryTopicWhenDeleteTopic) {
        for (const group of store.groups().keys()) {
          await store.deleteTopic(popRetryTopicV1(topic, group))
          await store.deleteTopic(popRetryTopicV2(topic, group))
        }
      }
      await store.deleteTopic(topic)
    })
  }

  async function change(wishes: readonly Wish[]): Promise<void> {
    const changed = wishes.map((wish) => checked(wish))
    for (const topic of changed) {
      const present = store.topics().get(topic.topicName)
      const isPresent = present !== undefined && topicText(present) === topicText(topic)
      if (!isPresent) await store.putTopic(topic)
    }
  }

  function checked({ changes, ...topic }: Wish): TopicConfig {
    const { topicName, readQueueNums, writeQueueNums } = topic
    const fault = topicNameError(topicName)
    if (fault !== undefined) throw new Refused(fault)
    refuseOfSystem(topicName)
    if (!config.enableMixedMessageType && makesMixed(changes)) throw new Refused('MIXED message type is not supported.')
    if (!isQueueCount(readQueueNums) || !isQueueCount(writeQueueNums)) {
      throw new Refused(
        `readQueueNums[${readQueueNums}] and writeQueueNums[${writeQueueNums}] must be from 0 to ${QUEUE_COUNT_MAX}`,
      )
    }
    return { ...topic, attributes: changedAttributes(topics.find(topicName)?.attributes, changes) }
  }

  function refuseOfSystem(topic: string): void {
    // What the store needs is not for tools, whatever the configuration says.
    if (topic === CONTROL_TOPIC || (config.validateSystemTopicWhenUpdateTopic && isOfSystem(topic))) {
      throw new Refused(`The topic[${topic}] is conflict with system topic.`)
    }
  }

  function isOfSystem(topic: string): boolean {
    return isSystemTopic(topic) || topics.isOfSystem(topic)
  }

  return [
    [RequestCode.UPDATE_AND_CREATE_TOPIC, { served: 'leader', handle: updateTopic }],
    [RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, { served: 'leader', handle: updateTopics }],
    [RequestCode.DELETE_TOPIC_IN_BROKER, { served: 'leader', handle: deleteTopic }],
  ]
}

/** A parameter is refused with 29. */
class Refused extends Error {}

/** Faults of the request as Apache answers them; anything else goes up. */
async function answerFaults(run: () => Promise<void>): Promise<RemotingCommand> {
  try {
    await run()
    return createResponse(ResponseCode.SUCCESS)
  } catch (error) {
    if (error instanceof Refused) return createResponse(ResponseCode.INVALID_PARAMETER, error.message)
    if (error instanceof AttributeError) return createResponse(ResponseCode.SYSTEM_ERROR, error.message)
    throw error
  }
}

function isQueueCount(count: number): boolean {
  return count >= 0 && count <= QUEUE_COUNT_MAX
}

function topicText(topic: TopicConfig): string {
  return topicConfigText({ ...topic, attributes: { ...topic.attributes } })
}
