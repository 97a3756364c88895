/**
 * Who is connected, from heartbeats to this member: consumers of a group (203), producers of a group (204), all producers (328).
 *
 * Consumers send theirs to every member, producers to the leader.
 *
 * Source: AdminBrokerProcessor.
 */
import {
  type ClientConnection,
  type Connection,
  createResponse,
  encodeConsumerConnections,
  encodeProducerConnections,
  encodeProducerTable,
  GetConsumerConnectionsRequest,
  GetProducerConnectionsRequest,
  type ProducerInfo,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { Member } from '../../client-manager/consumer-table.ts'
import { subscriptionData } from '../../client-manager/subscription.ts'
import type { BrokerContext } from '../../context.ts'
import type { Processor } from '../registry.ts'

/** 5.0.0: earlier tools do not know the language NODE_JS, and fail on names that they do not know. */
const FIRST_VERSION_WITH_NODE_JS = 413
const DEFAULT_CONSUME_FROM = 'CONSUME_FROM_LAST_OFFSET'
const DEFAULT_CONSUME_TYPE = 'CONSUME_PASSIVELY'

export function connectionProcessors(context: BrokerContext): [number, Processor][] {
  const { consumers, producers, clock } = context

  function consumerConnections(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { consumerGroup } = GetConsumerConnectionsRequest.decode(request.extFields)
    const group = consumers.group(consumerGroup)
    if (group === undefined) {
      const remark = `the consumer group[${consumerGroup}] not online`
      return createResponse(ResponseCode.CONSUMER_NOT_ONLINE, remark)
    }
    const body = encodeConsumerConnections({
      connectionSet: [...group.members.values()].map((member) => connectionOf(member, request.version)),
      consumeFromWhere: group.consumeFromWhere === '' ? DEFAULT_CONSUME_FROM : group.consumeFromWhere,
      consumeType: group.consumeType === '' ? DEFAULT_CONSUME_TYPE : group.consumeType,
      messageModel: group.messageModel,
      subscriptions: [...group.subscriptions.values()].map(subscriptionData),
    })
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  function producerConnections(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { producerGroup } = GetProducerConnectionsRequest.decode(request.extFields)
    const members = producers.members(producerGroup)
    if (members === undefined) {
      const remark = `the producer group[${producerGroup}] not exist`
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
    const connections = [...members.values()].map((member) => connectionOf(member, request.version))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeProducerConnections(connections))
  }

  function allProducers(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const wallMs = clock.nowMs() - clock.monotonicMs()
    const groups = [...producers.groups()].map(([group, members]) => {
      const infos = [...members.values()].map((member): ProducerInfo => ({
        clientId: member.clientId,
        language: languageFor(member.language, request.version),
        lastUpdateTimestamp: Math.round(wallMs + member.lastSeenMs),
        remoteIP: member.channel.remoteIp,
        version: member.version,
      }))
      return [group, infos] as const
    })
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeProducerTable(groups))
  }

  return [
    [RequestCode.GET_CONSUMER_CONNECTION_LIST, { served: 'here', handle: consumerConnections }],
    [RequestCode.GET_PRODUCER_CONNECTION_LIST, { served: 'here', handle: producerConnections }],
    [RequestCode.GET_ALL_PRODUCER_INFO, { served: 'here', handle: allProducers }],
  ]
}

function connectionOf(member: Member<Connection>, toolVersion: number): ClientConnection {
  const { clientId, language, version, channel } = member
  return { clientAddr: channel.remoteAddress, clientId, language: languageFor(language, toolVersion), version }
}

function languageFor(language: string, toolVersion: number): string {
  return language === 'NODE_JS' && toolVersion < FIRST_VERSION_WITH_NODE_JS ? 'OTHER' : language
}
