/** Queue locks of ordered consumers: which queues a client asks for, which it got. */
import { type MessageQueue, messageQueueText, readMessageQueue } from './message-queue.ts'
import { asArray, asText, booleanOr, parseObject } from './reader.ts'

/** The body of LOCK_BATCH_MQ and of UNLOCK_BATCH_MQ. */
export interface LockBatchRequest {
  consumerGroup: string
  clientId: string
  mqSet: MessageQueue[]
  onlyThisBroker: boolean
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeLockBatchRequest(body: Buffer): LockBatchRequest {
  const object = parseObject(body, 'a lock request')
  return {
    consumerGroup: asText(object['consumerGroup'], 'consumerGroup'),
    clientId: asText(object['clientId'], 'clientId'),
    mqSet: asArray(object['mqSet'], 'mqSet').map(readMessageQueue),
    onlyThisBroker: booleanOr(object['onlyThisBroker'], false, 'onlyThisBroker'),
  }
}

export function encodeLockBatchRequest(request: LockBatchRequest): Buffer {
  const queues = request.mqSet.map(messageQueueText).join(',')
  return Buffer.from(
    `{"clientId":${JSON.stringify(request.clientId)},"consumerGroup":${JSON.stringify(request.consumerGroup)},"mqSet":[${queues}],"onlyThisBroker":${request.onlyThisBroker}}`,
  )
}

/** @returns the queues that the client holds now. @throws RemotingError `BAD_BODY`. */
export function decodeLockBatchResponse(body: Buffer): MessageQueue[] {
  return asArray(parseObject(body, 'a lock answer')['lockOKMQSet'], 'lockOKMQSet').map(readMessageQueue)
}

export function encodeLockBatchResponse(lockedQueues: readonly MessageQueue[]): Buffer {
  return Buffer.from(`{"lockOKMQSet":[${lockedQueues.map(messageQueueText).join(',')}]}`)
}
