/** Single messages by offset or key. */
import { RequestCode } from '../codes.ts'
import { header, type HeaderOf, int32, int64, named, optional, string } from './header.ts'

/** `offset` is the commit-log offset, taken from an offset message id. Answered with one stored record as body. */
export const ViewMessageRequest = header(RequestCode.VIEW_MESSAGE_BY_ID, { offset: int64, topic: optional(string) })
export type ViewMessageRequest = HeaderOf<typeof ViewMessageRequest>

/** By key, or by unique id when `uniqueKeyQuery` is `true`. `endTimestamp` is often Long.MAX. */
export const QueryMessageRequest = header(RequestCode.QUERY_MESSAGE, {
  topic: string,
  key: string,
  maxNum: int32,
  beginTimestamp: int64,
  endTimestamp: int64,
  uniqueKeyQuery: named('_UNIQUE_KEY_QUERY', optional(string)),
})
export type QueryMessageRequest = HeaderOf<typeof QueryMessageRequest>
export const QueryMessageResponse = header(RequestCode.QUERY_MESSAGE, {
  indexLastUpdateTimestamp: int64,
  indexLastUpdatePhyoffset: int64,
})
export type QueryMessageResponse = HeaderOf<typeof QueryMessageResponse>
