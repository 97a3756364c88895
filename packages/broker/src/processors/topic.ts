/**
 * Topics and groups as tools read them: GET_ALL_TOPIC_CONFIG (21), GET_TOPIC_CONFIG (351), GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
 *
 * Source: AdminBrokerProcessor.
 */
import {
  type Connection,
  createResponse,
  dataVersionText,
  encodeTopicConfigTable,
  type ExtFields,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  topicConfig,
  topicConfigText,
} from '@dledger-ts/remoting'
import type { SubscriptionGroupConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function topicProcessors(context: BrokerContext): [number, Processor][] {
  const { store, topics } = context

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
    [RequestCode.GET_ALL_TOPIC_CONFIG, { served: 'here', handle: allTopics }],
    [RequestCode.GET_TOPIC_CONFIG, { served: 'here', handle: oneTopic }],
    [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, { served: 'here', handle: allGroups }],
  ]
}

/** A SubscriptionGroupConfig, keys in alphabetical order. */
export function groupText(group: SubscriptionGroupConfig): string {
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
