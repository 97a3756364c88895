/**
 * PEEK_MESSAGE (200052): what a pop would find, without taking it.
 *
 * Keeps: nothing is written, not even where a group begins; an answer holds no more than PEEKED_MAX messages, nor more bytes than a pull's.
 *
 * Source: PeekMessageProcessor.
 */
import {
  type Connection,
  createResponse,
  PeekMessageRequest,
  PopMessageResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { type GetResult, StoreError } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { admit, brokerForbids } from '../pop/admission.ts'
import type { PopQueue, PopQueues } from '../pop/pop-queues.ts'
import { refusalOf } from '../refusal.ts'
import type { Processor } from './registry.ts'

const PEEKED_MAX = 32

export function peekProcessors(context: BrokerContext, queues: PopQueues): [number, Processor][] {
  const handle = (connection: Connection, request: RemotingCommand): Promise<RemotingCommand> =>
    peek(context, queues, connection, request)
  return [[RequestCode.PEEK_MESSAGE, { served: 'leader', handle }]]
}

async function peek(
  context: BrokerContext,
  queues: PopQueues,
  connection: Connection,
  request: RemotingCommand,
): Promise<RemotingCommand> {
  const header = PeekMessageRequest.decode(request.extFields)
  const admitted = brokerForbids(context, 'peeking message') ?? admit(context, header, connection.remoteAddress)
  if ('code' in admitted) return createResponse(admitted.code, admitted.remark)
  const { consumerGroup: group, queueId } = header
  const maxCount = Math.min(header.maxMsgNums, PEEKED_MAX)
  let maxBytes = context.config.maxTransferBytesOnMessageInMemory
  const records: Buffer[] = []
  let restNum = 0
  for (const queue of queues.inOrder(admitted.topic, group, queueId, false)) {
    restNum += queues.rest(group, queue)
    if (records.length >= maxCount || maxBytes <= 0) continue
    let result: GetResult
    try {
      result = await messagesAt(context, queue, queues.next(group, queue), maxCount - records.length, maxBytes)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      const { code, remark } = refusalOf(error, request.version)
      return createResponse(code, remark)
    }
    for (const record of result.records) {
      records.push(record)
      maxBytes -= record.length
    }
  }
  const fields = PopMessageResponse.encode({ popTime: 0, invisibleTime: 0, reviveQid: 0, restNum })
  if (records.length > 0) return createResponse(ResponseCode.SUCCESS, 'FOUND', fields, records)
  return createResponse(ResponseCode.PULL_NOT_FOUND, 'NO_MESSAGE_IN_QUEUE', fields)
}

/** From `queueOffset` on, or, where that is outside of what the queue has, from where it goes on. */
async function messagesAt(
  { store }: BrokerContext,
  queue: PopQueue,
  queueOffset: number,
  maxCount: number,
  maxBytes: number,
): Promise<GetResult> {
  const request = { ...queue, maxCount, maxBytes, tagFilter: null }
  const result = await store.get({ ...request, queueOffset })
  if (result.status !== 'OFFSET_TOO_SMALL' && result.status !== 'OFFSET_OVERFLOW_BADLY') return result
  return store.get({ ...request, queueOffset: result.nextBeginOffset })
}
