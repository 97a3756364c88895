/**
 * QUERY_ASSIGNMENT (400): a client lets the broker say which queues it consumes. Always by pulling: POP is not served.
 *
 * Source: QueryAssignmentProcessor.
 */
import {
  type Connection,
  createResponse,
  type MessageQueue,
  messageQueueText,
  parseDialect,
  type RemotingCommand,
  RemotingError,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { allocate } from '../assignment/allocation.ts'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function assignmentProcessors(context: BrokerContext): [number, Processor][] {
  function queryAssignment(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const wish = readWish(request.bodyBytes)
    const topic = context.topics.find(wish.topic)
    const queues: MessageQueue[] = Array.from({ length: topic?.readQueueNums ?? 0 }, (_, queueId) => ({
      brokerName: context.config.brokerName,
      queueId,
      topic: wish.topic,
    }))
    const assigned =
      wish.isBroadcast || !context.config.serverLoadBalancerEnable ? queues : share(context, wish, queues)
    const items = assigned.map((queue) => `{"messageQueue":${messageQueueText(queue)},"mode":"PULL"}`)
    const body = Buffer.from(`{"messageQueueAssignments":[${items.join(',')}]}`)
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  return [[RequestCode.QUERY_ASSIGNMENT, { served: 'here', handle: queryAssignment }]]
}

interface Wish {
  readonly topic: string
  readonly group: string
  readonly clientId: string
  readonly isBroadcast: boolean
  readonly strategy: string
}

function share(context: BrokerContext, wish: Wish, queues: readonly MessageQueue[]): readonly MessageQueue[] {
  const clientIds = (context.consumers.group(wish.group)?.clientIds() ?? []).sort()
  const clientIndex = clientIds.indexOf(wish.clientId)
  if (clientIndex < 0) return []
  const strategy = wish.strategy === 'AVG_BY_CIRCLE' ? 'AVG_BY_CIRCLE' : 'AVG'
  return allocate(strategy, queues, { clientIndex, clientCount: clientIds.length })
}

function readWish(body: Buffer): Wish {
  const value = parseDialect(body.toString('utf8'))
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Map) {
    throw new RemotingError('bad body: an assignment query is no object', {
      code: 'BAD_BODY',
      what: 'an assignment query',
    })
  }
  const text = (name: string): string => {
    const field = value[name]
    return typeof field === 'string' ? field : ''
  }
  return {
    topic: text('topic'),
    group: text('consumerGroup'),
    clientId: text('clientId'),
    isBroadcast: text('messageModel') === 'BROADCASTING',
    strategy: text('strategyName'),
  }
}
