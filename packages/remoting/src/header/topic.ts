/** Topics on a broker. */
import { RequestCode } from '../codes.ts'
import { boolean, defaulted, header, type HeaderOf, int32, optional, string } from './header.ts'

/** `attributes` is a comma list of `+key=value` (set) and `-key` (remove). */
export const CreateTopicRequest = header(RequestCode.UPDATE_AND_CREATE_TOPIC, {
  topic: string,
  defaultTopic: string,
  readQueueNums: int32,
  writeQueueNums: int32,
  perm: int32,
  topicFilterType: string,
  topicSysFlag: optional(int32),
  order: defaulted(boolean, false),
  attributes: optional(string),
  force: defaulted(boolean, false),
})
export type CreateTopicRequest = HeaderOf<typeof CreateTopicRequest>

export const DeleteTopicRequest = header(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: string })
export type DeleteTopicRequest = HeaderOf<typeof DeleteTopicRequest>
