/** What an answer to a pull means for the next one. Pure. */
import { decodeRecords } from '@dledger-ts/protocol'
import { PullMessageResponse, type RemotingCommand, ResponseCode, type SubscriptionData } from '@dledger-ts/remoting'
import { ReceivedMessage } from './received-message.ts'
import { wantsTag } from './subscription.ts'

export type PullOutcome =
  /** Messages, maybe none of them wanted. */
  | {
      readonly kind: 'found'
      readonly messages: readonly ReceivedMessage[]
      readonly nextOffset: number
      readonly suggestedId: number
    }
  /** Nothing there, after waiting for it, or nothing that matches. */
  | { readonly kind: 'empty'; readonly nextOffset: number; readonly suggestedId: number }
  /** The offset is outside of what the queue holds. */
  | { readonly kind: 'moved'; readonly nextOffset: number }
  /** The broker does not know this consumer (any more): it wants a heartbeat. */
  | { readonly kind: 'unknown'; readonly why: string }
  /** Not here, or not now: the route may have changed. */
  | { readonly kind: 'refused'; readonly why: string }

/** @throws RemotingError or ProtocolError for an answer that cannot be read. */
export function pullOutcome(
  response: RemotingCommand,
  brokerName: string,
  subscription: SubscriptionData,
): PullOutcome {
  switch (response.code) {
    case ResponseCode.SUCCESS: {
      const { nextBeginOffset, suggestWhichBrokerId } = PullMessageResponse.decode(response.extFields)
      const messages = wantedMessages(response.bodyBytes, brokerName, subscription)
      return { kind: 'found', messages, nextOffset: nextBeginOffset, suggestedId: suggestWhichBrokerId }
    }
    case ResponseCode.PULL_NOT_FOUND:
    case ResponseCode.PULL_RETRY_IMMEDIATELY: {
      const { nextBeginOffset, suggestWhichBrokerId } = PullMessageResponse.decode(response.extFields)
      return { kind: 'empty', nextOffset: nextBeginOffset, suggestedId: suggestWhichBrokerId }
    }
    case ResponseCode.PULL_OFFSET_MOVED:
      return { kind: 'moved', nextOffset: PullMessageResponse.decode(response.extFields).nextBeginOffset }
    case ResponseCode.SUBSCRIPTION_NOT_EXIST:
    case ResponseCode.SUBSCRIPTION_NOT_LATEST:
    case ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST:
      return { kind: 'unknown', why: `${response.code} ${response.remark ?? ''}` }
    default:
      return { kind: 'refused', why: `${response.code} ${response.remark ?? ''}` }
  }
}

function wantedMessages(body: Buffer, brokerName: string, subscription: SubscriptionData): ReceivedMessage[] {
  const messages: ReceivedMessage[] = []
  for (const record of decodeRecords(body)) {
    const message = new ReceivedMessage(brokerName, record)
    if (wantsTag(subscription, message.tags)) messages.push(message)
  }
  return messages
}
