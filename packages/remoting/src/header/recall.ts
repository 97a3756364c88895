/** Calling back a message that waits for its time. */
import { RequestCode } from '../codes.ts'
import { header, type HeaderOf, named, optional, string } from './header.ts'

/** `recallHandle` is what the answer to the send had. */
export const RecallMessageRequest = header(RequestCode.RECALL_MESSAGE, {
  producerGroup: optional(string),
  topic: string,
  recallHandle: string,
  brokerName: named('bname', optional(string)),
})
export type RecallMessageRequest = HeaderOf<typeof RecallMessageRequest>

/** `msgId` is the unique id of the message. */
export const RecallMessageResponse = header(RequestCode.RECALL_MESSAGE, { msgId: string })
export type RecallMessageResponse = HeaderOf<typeof RecallMessageResponse>
