/**
 * What tools want of a client, relayed to it: GET_CONSUMER_RUNNING_INFO (307), CONSUME_MESSAGE_DIRECTLY (309),
 * INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223, asked of each client with 221).
 *
 * Keeps: the client's answer goes back as it came, code, remark and body; the fields by which the one who asks is known are not passed on;
 * a client that does not answer is waited for RELAY_TIMEOUT_MS. Every member serves it: consumers are connected to all.
 *
 * Source: AdminBrokerProcessor.callConsumer, Broker2Client.
 */
import { parseOffsetMsgId, ProtocolError, recordTopic } from '@dledger-ts/protocol'
import {
  type Connection,
  ConsumeMessageDirectlyRequest,
  createRequest,
  createResponse,
  decodeClientOffsets,
  encodeConsumerStatus,
  type ExtFields,
  GetClientStatusRequest,
  GetConsumerRunningInfoRequest,
  GetConsumerStatusRequest,
  type QueueOffset,
  type RemotingCommand,
  RemotingError,
  RequestCode,
  ResponseCode,
  SignatureField,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import type { Member } from '../client-manager/consumer-table.ts'
import { ADDED_FIELDS } from '../forwarding/forwarder.ts'
import { VERSION_WITH_OFFSET_COMMANDS } from './offset-resets.ts'
import type { Processor } from './registry.ts'

export const RELAY_TIMEOUT_MS = 10_000
const STATUS_TIMEOUT_MS = 5_000
/** V3_1_8_SNAPSHOT: what clients before it do not know. */
const VERSION_WITH_RELAY = 62

/** Fields that say who asks: meant for the broker, and no business of the client's. */
const NOT_RELAYED: ReadonlySet<string> = new Set([...Object.values(SignatureField), ...ADDED_FIELDS])

export function clientRelayProcessors(context: BrokerContext): [number, Processor][] {
  const { access, config, consumers, store, topics, logger } = context

  async function runningInfo(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { consumerGroup, clientId } = GetConsumerRunningInfoRequest.decode(request.extFields)
    return relay(consumerGroup, clientId, request, request.extFields ?? {}, request.bodyBytes)
  }

  async function consumeDirectly(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { consumerGroup, clientId, msgId, topic } = ConsumeMessageDirectlyRequest.decode(request.extFields)
    const extFields: ExtFields = { ...request.extFields, brokerName: config.brokerName }
    const topicConfig = topic === undefined ? undefined : topics.find(topic)
    if (topicConfig !== undefined) extFields['topicSysFlag'] = String(topicConfig.topicSysFlag)
    const group = store.groups().get(consumerGroup)
    if (group !== undefined) extFields['groupSysFlag'] = String(group.groupSysFlag)
    const body = msgId === undefined ? undefined : await messageOf(msgId)
    if (body === undefined) {
      return createResponse(ResponseCode.SYSTEM_ERROR, `can not find the message ${msgId ?? ''}`)
    }
    const message = { topic: recordTopic(body), action: 'read', group: consumerGroup } as const
    const refusal = access.refusalOfMessage(connection, request, message)
    if (refusal !== null) return refusal
    return relay(consumerGroup, clientId, request, extFields, body)
  }

  async function messageOf(msgId: string): Promise<Buffer | undefined> {
    try {
      const { physicalOffset } = parseOffsetMsgId(msgId)
      return physicalOffset < 0 ? undefined : await store.messageAt(physicalOffset)
    } catch (error) {
      if (error instanceof ProtocolError) return undefined
      throw error
    }
  }

  async function relay(
    group: string,
    clientId: string | undefined,
    request: RemotingCommand,
    extFields: ExtFields,
    body: Buffer,
  ): Promise<RemotingCommand> {
    const client = clientId === undefined ? undefined : consumers.group(group)?.find(clientId)
    if (client === undefined) {
      return createResponse(ResponseCode.SYSTEM_ERROR, `The Consumer <${group}> <${clientId ?? 'null'}> not online`)
    }
    if (client.version < VERSION_WITH_RELAY) {
      const remark =
        `The Consumer <${client.clientId}> Version <${client.version}> too low to finish, ` +
        'please upgrade it to V3_1_8_SNAPSHOT'
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
    try {
      const relayed = createRequest(request.code, relayedFields(extFields), body)
      const answer = await client.channel.invoke(relayed, RELAY_TIMEOUT_MS)
      return createResponse(answer.code, answer.remark, answer.extFields, answer.bodyBytes)
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      if (error.code === 'TIMEOUT') {
        const remark = `consumer <${group}> <${client.clientId}> Timeout: ${error.message}`
        return createResponse(ResponseCode.CONSUME_MSG_TIMEOUT, remark)
      }
      const remark = `invoke consumer <${group}> <${client.clientId}> Exception: ${error.message}`
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
  }

  async function consumerStatus(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic, group, clientAddr = '' } = GetConsumerStatusRequest.decode(request.extFields)
    const members = [...(consumers.group(group)?.members.values() ?? [])]
    if (members.length === 0) {
      const remark = `No Any Consumer online in the consumer group: [${group}]`
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
    const old = members.find((member) => member.version < VERSION_WITH_OFFSET_COMMANDS)
    if (old !== undefined) {
      const remark = `the client does not support this feature. version=${old.version}`
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
    const asked = members.filter(({ clientId }) => clientAddr.trim() === '' || clientAddr === clientId)
    const answers = await Promise.all(asked.map((member) => offsetsOf(member, topic, group)))
    const table = new Map<string, readonly QueueOffset[]>()
    answers.forEach((offsets, i) => {
      if (offsets !== null) table.set((asked[i] as Member<Connection>).clientId, offsets)
    })
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeConsumerStatus(table))
  }

  /** @returns null for a client that does not say: the others' answers count. */
  async function offsetsOf(
    { channel, clientId }: Member<Connection>,
    topic: string,
    group: string,
  ): Promise<readonly QueueOffset[] | null> {
    try {
      const answer = await channel.invoke(GetClientStatusRequest.request({ topic, group }), STATUS_TIMEOUT_MS)
      if (answer.code !== ResponseCode.SUCCESS || answer.bodyBytes.length === 0) return null
      return decodeClientOffsets(answer.bodyBytes)
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      logger.warn({ err: error, group, clientId }, 'a client did not say where it stands')
      return null
    }
  }

  return [
    [RequestCode.GET_CONSUMER_RUNNING_INFO, { served: 'here', handle: runningInfo }],
    [RequestCode.CONSUME_MESSAGE_DIRECTLY, { served: 'here', handle: consumeDirectly }],
    [RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, { served: 'here', handle: consumerStatus }],
  ]
}

function relayedFields(extFields: ExtFields): ExtFields {
  return Object.fromEntries(Object.entries(extFields).filter(([name]) => !NOT_RELAYED.has(name)))
}
