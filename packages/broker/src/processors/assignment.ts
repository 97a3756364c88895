/**
 * QUERY_ASSIGNMENT (400): a client lets the broker say which queues it consumes, and whether it pulls or pops them;
 * SET_MESSAGE_REQUEST_MODE (401), GET_ALL_MESSAGE_REQUEST_MODE (402): what the operator says of that, a fact of the log.
 *
 * Source: QueryAssignmentProcessor, MessageRequestModeManager.
 */
import { isRetryTopic } from '@dledger-ts/protocol'
import {
  type AssignmentQuery,
  type Connection,
  createResponse,
  decodeAssignmentQuery,
  decodeRequestMode,
  encodeAssignment,
  encodeRequestModes,
  type MessageQueue,
  type RemotingCommand,
  type RequestMode,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { allocate, allocateForPop, isStrategy } from '../assignment/allocation.ts'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function assignmentProcessors(context: BrokerContext): [number, Processor][] {
  const { config, store, topics } = context

  function queryAssignment(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const wish = decodeAssignmentQuery(request.bodyBytes)
    const mode = modeOf(context, wish)
    const topic = topics.find(wish.topic)
    const queues: MessageQueue[] = Array.from({ length: topic?.readQueueNums ?? 0 }, (_, queueId) => ({
      brokerName: config.brokerName,
      queueId,
      topic: wish.topic,
    }))
    const assigned = wish.isBroadcast || !config.serverLoadBalancerEnable ? queues : share(context, wish, queues, mode)
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeAssignment(assigned, mode.mode))
  }

  async function setRequestMode(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const setting = decodeRequestMode(request.bodyBytes)
    if (isRetryTopic(setting.topic)) {
      return createResponse(ResponseCode.NO_PERMISSION, 'retry topic is not allowed to set mode')
    }
    if (topics.find(setting.topic) === undefined) {
      return createResponse(ResponseCode.TOPIC_NOT_EXIST, `topic[${setting.topic}] not exist`)
    }
    if ((await context.groups.create(setting.group)) === undefined) {
      return createResponse(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, 'subscription group does not exist')
    }
    await store.putRequestMode(setting)
    return createResponse(ResponseCode.SUCCESS)
  }

  function requestModes(): RemotingCommand {
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeRequestModes(store.requestModes()))
  }

  return [
    [RequestCode.QUERY_ASSIGNMENT, { served: 'here', handle: queryAssignment }],
    [RequestCode.SET_MESSAGE_REQUEST_MODE, { served: 'leader', handle: setRequestMode }],
    [RequestCode.GET_ALL_MESSAGE_REQUEST_MODE, { served: 'here', handle: requestModes }],
  ]
}

interface Mode {
  readonly mode: RequestMode
  readonly popShareQueueNum: number
}

/** A group's own retry topic is always pulled. */
function modeOf({ config, store }: BrokerContext, { topic, group }: AssignmentQuery): Mode {
  const said = store.requestMode(topic, group)
  if (said !== undefined) return said
  const mode = isRetryTopic(topic) ? 'PULL' : config.defaultMessageRequestMode
  return { mode, popShareQueueNum: config.defaultPopShareQueueNum }
}

/** @returns null when nothing can be told: the client keeps what it has. */
function share(
  context: BrokerContext,
  wish: AssignmentQuery,
  queues: readonly MessageQueue[],
  { mode, popShareQueueNum }: Mode,
): readonly MessageQueue[] | null {
  const clientIds = (context.consumers.group(wish.group)?.clientIds() ?? []).sort()
  const clientCount = clientIds.length
  const clientIndex = clientIds.indexOf(wish.clientId)
  const strategy = isStrategy(wish.strategy) ? wish.strategy : 'AVG'
  if (mode === 'PULL') return clientIndex < 0 ? [] : allocate(strategy, queues, { clientIndex, clientCount })
  if (queues.length === 0) return null
  const client = { clientIndex, clientCount }
  const own = allocateForPop(strategy, queues, client, popShareQueueNum)
  // All queues of this broker: one queue that stands for them.
  return own === 'all' ? [{ ...(queues[0] as MessageQueue), queueId: -1 }] : own
}
