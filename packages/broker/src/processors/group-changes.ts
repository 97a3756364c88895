/**
 * Consumer groups created, changed and deleted by tools: UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200), the same for a list (225),
 * DELETE_SUBSCRIPTIONGROUP (207), UPDATE_AND_GET_GROUP_FORBIDDEN (353).
 *
 * Keeps: a list is checked whole before its first group is changed; a retry topic has as many queues as its group wants, or more.
 *
 * Source: AdminBrokerProcessor, SubscriptionGroupManager.
 */
import { groupNameError, Permission, retryTopic, topicNameError } from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  decodeSubscriptionGroup,
  decodeSubscriptionGroupList,
  DeleteSubscriptionGroupRequest,
  GroupForbiddenRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  type SubscriptionGroup,
} from '@dledger-ts/remoting'
import { QUEUE_COUNT_MAX, type SubscriptionGroupConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { AttributeError, changedAttributes } from '../topics/topic-attributes.ts'
import type { Processor } from './registry.ts'

/** Apache's groups have none either. */
const GROUP_ATTRIBUTES = new Map<string, never>()

export function groupChangeProcessors(context: BrokerContext): [number, Processor][] {
  const { store, topics } = context

  function updateGroup(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    return change([decodeSubscriptionGroup(request.bodyBytes)])
  }

  function updateGroups(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    return change(decodeSubscriptionGroupList(request.bodyBytes))
  }

  async function change(wishes: readonly SubscriptionGroup[]): Promise<RemotingCommand> {
    for (const wish of wishes) {
      const fault = faultOf(wish)
      if (fault !== undefined) return createResponse(ResponseCode.INVALID_PARAMETER, fault)
    }
    let groups: SubscriptionGroupConfig[]
    try {
      groups = wishes.map((wish) => {
        const present = store.groups().get(wish.groupName)
        const changes = new Map(Object.entries(wish.attributes))
        return { ...wish, attributes: changedAttributes(present?.attributes, changes, GROUP_ATTRIBUTES) }
      })
    } catch (error) {
      if (!(error instanceof AttributeError)) throw error
      return createResponse(ResponseCode.SYSTEM_ERROR, error.message)
    }
    for (const group of groups) {
      await store.putGroup(group)
      await growRetryTopic(group)
    }
    return createResponse(ResponseCode.SUCCESS)
  }

  /** What is put into a queue that consumers do not look at never comes again. */
  async function growRetryTopic({ groupName, retryQueueNums }: SubscriptionGroupConfig): Promise<void> {
    const topic = topics.find(retryTopic(groupName))
    if (topic === undefined || (topic.readQueueNums >= retryQueueNums && topic.writeQueueNums >= retryQueueNums)) return
    const readQueueNums = Math.max(topic.readQueueNums, retryQueueNums)
    const writeQueueNums = Math.max(topic.writeQueueNums, retryQueueNums)
    await store.putTopic({ ...topic, readQueueNums, writeQueueNums })
  }

  async function deleteGroup(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { groupName, cleanOffset } = DeleteSubscriptionGroupRequest.decode(request.extFields)
    await store.deleteGroup(groupName)
    if (cleanOffset) await store.deleteConsumerOffsets(groupName)
    return createResponse(ResponseCode.SUCCESS)
  }

  async function groupForbidden(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { group, topic, readable } = GroupForbiddenRequest.decode(request.extFields)
    const fault = groupNameError(group) ?? topicNameError(topic)
    if (fault !== undefined) return createResponse(ResponseCode.INVALID_PARAMETER, fault)
    if (readable !== undefined) {
      const others = store.forbidden(group, topic) & ~Permission.READ
      await store.putForbidden(group, topic, readable ? others : others | Permission.READ)
    }
    const body = JSON.stringify({ group, readable: !isReadForbidden(context, group, topic), topic })
    return createResponse(ResponseCode.SUCCESS, '', undefined, Buffer.from(body))
  }

  return [
    [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, { served: 'leader', handle: updateGroup }],
    [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, { served: 'leader', handle: updateGroups }],
    [RequestCode.DELETE_SUBSCRIPTIONGROUP, { served: 'leader', handle: deleteGroup }],
    [RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, { served: 'leader', handle: groupForbidden }],
  ]
}

/** Whether a tool has forbidden a group to read a topic. Hot: runs for each pull. */
export function isReadForbidden({ store }: Pick<BrokerContext, 'store'>, group: string, topic: string): boolean {
  // Bit 2, Apache's INDEX_PERM_READ, is the place of the permission to read.
  return (store.forbidden(group, topic) & Permission.READ) !== 0
}

function faultOf({ groupName, retryQueueNums }: SubscriptionGroup): string | undefined {
  const fault = groupNameError(groupName)
  if (fault !== undefined) return fault
  return retryQueueNums > QUEUE_COUNT_MAX
    ? `retryQueueNums[${retryQueueNums}] must be at most ${QUEUE_COUNT_MAX}`
    : undefined
}
