/**
 * Topics and groups for tools: UPDATE_AND_CREATE_TOPIC (17), GET_ALL_TOPIC_CONFIG (21), GET_TOPIC_CONFIG (351),
 * GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
 *
 * Source: AdminBrokerProcessor.
 */
import { isSystemTopic, topicNameError } from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  CreateTopicRequest,
  dataVersionText,
  encodeTopicConfigTable,
  type ExtFields,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  topicConfig,
  topicConfigText,
} from '@dledger-ts/remoting'
import { QUEUE_COUNT_MAX, type SubscriptionGroupConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function topicProcessors(context: BrokerContext): [number, Processor][] {
  const { config, store, topics } = context

  async function updateTopic(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = CreateTopicRequest.decode(request.extFields)
    const fault = topicNameError(header.topic)
    if (fault !== undefined) return createResponse(ResponseCode.INVALID_PARAMETER, fault)
    const isSystem = isSystemTopic(header.topic) || topics.isOfSystem(header.topic)
    if (config.validateSystemTopicWhenUpdateTopic && isSystem) {
      const remark = `The topic[${header.topic}] is conflict with system topic.`
      return createResponse(ResponseCode.INVALID_PARAMETER, remark)
    }
    const { readQueueNums, writeQueueNums } = header
    if (
      readQueueNums < 0 ||
      writeQueueNums < 0 ||
      readQueueNums > QUEUE_COUNT_MAX ||
      writeQueueNums > QUEUE_COUNT_MAX
    ) {
      const remark = `readQueueNums[${readQueueNums}] and writeQueueNums[${writeQueueNums}] must be from 0 to ${QUEUE_COUNT_MAX}`
      return createResponse(ResponseCode.INVALID_PARAMETER, remark)
    }
    const present = topics.find(header.topic)
    await store.putTopic({
      topicName: header.topic,
      readQueueNums,
      writeQueueNums,
      perm: header.perm,
      topicFilterType: header.topicFilterType,
      topicSysFlag: header.topicSysFlag ?? 0,
      order: header.order,
      attributes: changedAttributes(present?.attributes ?? {}, header.attributes ?? ''),
    })
    return createResponse(ResponseCode.SUCCESS)
  }

  function allTopics(): RemotingCommand {
    const table = new Map(
      [...topics.all()].map(([name, one]) => [name, topicConfig({ ...one, attributes: { ...one.attributes } })]),
    )
    const extFields: ExtFields = { totalTopicNum: String(table.size) }
    const body = encodeTopicConfigTable({ dataVersion: store.dataVersion(), topics: table })
    return createResponse(ResponseCode.SUCCESS, undefined, extFields, body)
  }

  function oneTopic(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const name = request.extFields?.['topic'] ?? ''
    const found = topics.find(name)
    if (found === undefined) {
      return createResponse(ResponseCode.TOPIC_NOT_EXIST, `No topic in this broker. topic: ${name}`)
    }
    const text = topicConfigText(topicConfig({ ...found, attributes: { ...found.attributes } }))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, Buffer.from(text))
  }

  function allGroups(): RemotingCommand {
    const groups = [...store.groups().values()]
    const table = groups.map((group) => `${JSON.stringify(group.groupName)}:${groupText(group)}`).join(',')
    const version = dataVersionText(store.groupDataVersion())
    const body = `{"dataVersion":${version},"forbiddenTable":{},"subscriptionGroupTable":{${table}}}`
    return createResponse(ResponseCode.SUCCESS, undefined, { totalGroupNum: String(groups.length) }, Buffer.from(body))
  }

  return [
    [RequestCode.UPDATE_AND_CREATE_TOPIC, { served: 'leader', handle: updateTopic }],
    [RequestCode.GET_ALL_TOPIC_CONFIG, { served: 'here', handle: allTopics }],
    [RequestCode.GET_TOPIC_CONFIG, { served: 'here', handle: oneTopic }],
    [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, { served: 'here', handle: allGroups }],
  ]
}

/** Applies `+key=value,-key`. Pieces of another form change nothing. */
function changedAttributes(present: Readonly<Record<string, string>>, changes: string): Record<string, string> {
  const attributes = new Map(Object.entries(present))
  for (const change of changes.split(',')) {
    const valueAt = change.indexOf('=')
    if (change.startsWith('+') && valueAt > 1) attributes.set(change.slice(1, valueAt), change.slice(valueAt + 1))
    else if (change.startsWith('-')) attributes.delete(change.slice(1))
  }
  return Object.fromEntries(attributes)
}

function groupText(group: SubscriptionGroupConfig): string {
  return JSON.stringify({
    attributes: group.attributes,
    brokerId: group.brokerId,
    consumeBroadcastEnable: group.consumeBroadcastEnable,
    consumeEnable: group.consumeEnable,
    consumeFromMinEnable: group.consumeFromMinEnable,
    consumeMessageOrderly: group.consumeMessageOrderly,
    consumeTimeoutMinute: group.consumeTimeoutMinute,
    groupName: group.groupName,
    groupRetryPolicy: { type: 'CUSTOMIZED' },
    groupSysFlag: group.groupSysFlag,
    notifyConsumerIdsChangedEnable: group.notifyConsumerIdsChangedEnable,
    retryMaxTimes: group.retryMaxTimes,
    retryQueueNums: group.retryQueueNums,
    whichBrokerWhenConsumeSlowly: group.whichBrokerWhenConsumeSlowly,
  })
}
