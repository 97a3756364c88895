/**
 * END_TRANSACTION (37): the producer commits or rolls back its half message, by itself or asked for it. RESUME_CHECK_HALF_MESSAGE (323): a
 * tool has a producer asked from the beginning again for one that is pending, or that was given up.
 *
 * Keeps:
 *   E1  a half message is ended once, by whoever says so first; who says it again is answered 0 and changes nothing, where
 *       Apache's broker would deliver the message again;
 *   E2  a producer that does not know the outcome gets no answer, as from Apache;
 *   E3  what has ended otherwise is not resumed: Apache's broker puts whatever is named into the half topic, also what was committed.
 *
 * Source: org.apache.rocketmq.broker.processor.EndTransactionProcessor, AdminBrokerProcessor.resumeCheckHalfMessage.
 */
import {
  decodeRecord,
  getProperty,
  type MessageRecord,
  MessageSysFlag,
  parseOffsetMsgId,
  PropertyName,
  ProtocolError,
} from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  EndTransactionRequest,
  type ProcessorResult,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  ResumeCheckHalfMessageRequest,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function transactionProcessors(context: BrokerContext): [number, Processor][] {
  return [
    [RequestCode.END_TRANSACTION, { served: 'leader', handle: (...args) => end(context, ...args) }],
    [RequestCode.RESUME_CHECK_HALF_MESSAGE, { served: 'leader', handle: (...args) => resume(context, ...args) }],
  ]
}

async function end(context: BrokerContext, connection: Connection, request: RemotingCommand): Promise<ProcessorResult> {
  const header = EndTransactionRequest.decode(request.extFields)
  const outcome = outcomeOf(header.commitOrRollback)
  if (outcome === undefined) return undefined
  const { store, clock } = context
  const physicalOffset = header.commitLogOffset
  const half = physicalOffset < 0 ? undefined : await store.halfMessage(physicalOffset)
  if (half === undefined) {
    return createResponse(ResponseCode.SYSTEM_ERROR, 'Find prepared transaction message failed')
  }
  // The header may name no topic, or another one.
  const topic = getProperty(half.properties, PropertyName.REAL_TOPIC) ?? ''
  const refusal = context.access.refusalOfMessage(connection, request, { topic, action: 'write', group: null })
  if (refusal !== null) return refusal
  const wrong = faultOf(half, header)
  if (wrong !== undefined) return createResponse(ResponseCode.SYSTEM_ERROR, wrong)
  if (!header.fromTransactionCheck && isTooLate(half, clock.nowMs())) {
    const remark = `CHECK_IMMUNITY_TIME_IN_SECONDS of the half message is over: it is asked for`
    return createResponse(ResponseCode.ILLEGAL_OPERATION, remark)
  }
  const { producerGroup, tranStateTableOffset: queueOffset } = header
  const ended = await store.endTransaction({ physicalOffset, queueOffset, producerGroup, outcome })
  return createResponse(ResponseCode.SUCCESS, ended === null ? 'the half message was ended before' : undefined)
}

async function resume(
  context: BrokerContext,
  connection: Connection,
  request: RemotingCommand,
): Promise<RemotingCommand> {
  const { store, transactionChecks } = context
  const { msgId } = ResumeCheckHalfMessageRequest.decode(request.extFields)
  const physicalOffset = placeOf(msgId)
  const named = physicalOffset < 0 ? undefined : await namedBy(context, physicalOffset)
  // The header names the topic in which it stands, not the one that it is meant for.
  const topic = named === undefined ? undefined : getProperty(named.properties, PropertyName.REAL_TOPIC)
  const message = { topic: topic ?? '', action: 'write', group: null } as const
  const refusal = topic === undefined ? null : context.access.refusalOfMessage(connection, request, message)
  if (refusal !== null) return refusal
  if (topic === undefined || !(await store.resumeHalfMessage(physicalOffset))) {
    const remark = `no half message ${msgId} is pending or was given up: one that was stands in TRANS_CHECK_MAX_TIME_TOPIC`
    return createResponse(ResponseCode.SYSTEM_ERROR, remark)
  }
  transactionChecks.halfStored(0)
  return createResponse(ResponseCode.SUCCESS)
}

/** @returns the half message, also where its record was moved, or whatever else stands there. */
async function namedBy({ store }: BrokerContext, physicalOffset: number): Promise<MessageRecord | undefined> {
  const half = await store.halfMessage(physicalOffset)
  if (half !== undefined) return half
  const record = await store.messageAt(physicalOffset)
  return record === undefined ? undefined : decodeRecord(record)
}

function placeOf(msgId: string): number {
  try {
    return parseOffsetMsgId(msgId).physicalOffset
  } catch (error) {
    if (error instanceof ProtocolError) return -1
    throw error
  }
}

function outcomeOf(commitOrRollback: number): 'commit' | 'rollback' | undefined {
  if (commitOrRollback === MessageSysFlag.TRANSACTION_COMMIT) return 'commit'
  if (commitOrRollback === MessageSysFlag.TRANSACTION_ROLLBACK) return 'rollback'
  return undefined
}

/** @returns what of the request is not the half message's. */
function faultOf(half: MessageRecord, header: EndTransactionRequest): string | undefined {
  if (getProperty(half.properties, PropertyName.PRODUCER_GROUP) !== header.producerGroup) {
    return 'The producer group wrong'
  }
  return half.queueOffset === header.tranStateTableOffset ? undefined : 'The transaction state table offset wrong'
}

/** A producer that asked for a first question at some time tells the outcome before it, or is asked. */
function isTooLate(half: MessageRecord, nowMs: number): boolean {
  const immunity = immunityMs(half.properties)
  return immunity >= 0 && nowMs - half.storeTimestamp > immunity
}

/** When a half message wants to be asked for, at the earliest; -1 when it does not say. */
export function immunityMs(properties: string): number {
  const seconds = Number(getProperty(properties, PropertyName.CHECK_IMMUNITY_TIME_IN_SECONDS) ?? -1)
  return seconds >= 0 && Number.isSafeInteger(seconds * 1_000) ? seconds * 1_000 : -1
}
