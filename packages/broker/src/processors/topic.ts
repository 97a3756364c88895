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
  subscriptionGroupText,
  topicConfig,
  topicConfigText,
} from '@dledger-ts/remoting'
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
    const table = groups.map((group) => `${JSON.stringify(group.groupName)}:${subscriptionGroupText(group)}`).join(',')
    const forbidden = [...store.forbiddenTopics()]
      .map(([group, topics]) => `${JSON.stringify(group)}:${JSON.stringify(Object.fromEntries(topics))}`)
      .join(',')
    const version = dataVersionText(store.groupDataVersion())
    const body = `{"dataVersion":${version},"forbiddenTable":{${forbidden}},"subscriptionGroupTable":{${table}}}`
    return createResponse(ResponseCode.SUCCESS, undefined, { totalGroupNum: String(groups.length) }, Buffer.from(body))
  }

  return [
    [RequestCode.GET_ALL_TOPIC_CONFIG, { served: 'here', handle: allTopics }],
    [RequestCode.GET_TOPIC_CONFIG, { served: 'here', handle: oneTopic }],
    [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, { served: 'here', handle: allGroups }],
  ]
}
