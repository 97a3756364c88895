/** Offsets: of consumer groups, and of the queues themselves. */
import { RequestCode } from '../codes.ts'
import { boolean, header, type HeaderOf, int32, int64, optional, string } from './header.ts'

export const QueryConsumerOffsetRequest = header(RequestCode.QUERY_CONSUMER_OFFSET, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  setZeroIfNotFound: optional(boolean),
})
export type QueryConsumerOffsetRequest = HeaderOf<typeof QueryConsumerOffsetRequest>
export const QueryConsumerOffsetResponse = header(RequestCode.QUERY_CONSUMER_OFFSET, { offset: optional(int64) })
export type QueryConsumerOffsetResponse = HeaderOf<typeof QueryConsumerOffsetResponse>

/** Often one-way. `commitOffset` may be negative: a client that never read the queue. */
export const UpdateConsumerOffsetRequest = header(RequestCode.UPDATE_CONSUMER_OFFSET, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  commitOffset: int64,
})
export type UpdateConsumerOffsetRequest = HeaderOf<typeof UpdateConsumerOffsetRequest>

/** `boundaryType` LOWER (default): the first message stored at `timestamp` or later; UPPER: the last at or before it. */
export const SearchOffsetRequest = header(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, {
  topic: string,
  queueId: int32,
  timestamp: int64,
  boundaryType: optional(string),
})
export type SearchOffsetRequest = HeaderOf<typeof SearchOffsetRequest>
export const SearchOffsetResponse = header(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { offset: int64 })
export type SearchOffsetResponse = HeaderOf<typeof SearchOffsetResponse>

export const GetMaxOffsetRequest = header(RequestCode.GET_MAX_OFFSET, {
  topic: string,
  queueId: int32,
  committed: optional(boolean),
})
export type GetMaxOffsetRequest = HeaderOf<typeof GetMaxOffsetRequest>
export const GetMaxOffsetResponse = header(RequestCode.GET_MAX_OFFSET, { offset: int64 })
export type GetMaxOffsetResponse = HeaderOf<typeof GetMaxOffsetResponse>

export const GetMinOffsetRequest = header(RequestCode.GET_MIN_OFFSET, { topic: string, queueId: int32 })
export type GetMinOffsetRequest = HeaderOf<typeof GetMinOffsetRequest>
export const GetMinOffsetResponse = header(RequestCode.GET_MIN_OFFSET, { offset: int64 })
export type GetMinOffsetResponse = HeaderOf<typeof GetMinOffsetResponse>

export const GetEarliestStoreTimeRequest = header(RequestCode.GET_EARLIEST_MSG_STORETIME, {
  topic: string,
  queueId: int32,
})
export type GetEarliestStoreTimeRequest = HeaderOf<typeof GetEarliestStoreTimeRequest>
export const GetEarliestStoreTimeResponse = header(RequestCode.GET_EARLIEST_MSG_STORETIME, { timestamp: int64 })
export type GetEarliestStoreTimeResponse = HeaderOf<typeof GetEarliestStoreTimeResponse>
