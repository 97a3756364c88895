/**
 * The topic table and the table of subscription groups as a program sees and changes them.
 *
 * Keeps: nothing is proposed that is not well-formed; what several create at the same time is proposed once, and each gets what is
 * there then.
 */
import { groupNameError, topicNameError } from '@dledger-ts/protocol'
import type { DataVersion } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import { AccessChanges, type AccessEdit, type ReadonlyAccess } from './access-changes.ts'
import type { ChangeProposer } from './change-proposals.ts'
import { isGroupConfig, isTopicConfig } from './change.ts'
import { isRequestModeConfig, type RequestModeConfig } from './request-modes.ts'
import type { TableVersion } from './state.ts'
import type { SubscriptionGroupConfig } from './subscription-group-config.ts'
import type { TopicConfig } from './topic-config.ts'

export class ConfigTables {
  readonly #machine: StoreMachine
  readonly #changes: ChangeProposer
  readonly #access: AccessChanges
  readonly #creatingTopics = new Map<string, Promise<TopicConfig>>()
  readonly #creatingGroups = new Map<string, Promise<SubscriptionGroupConfig>>()

  constructor(options: { readonly machine: StoreMachine; readonly changes: ChangeProposer }) {
    this.#machine = options.machine
    this.#changes = options.changes
    this.#access = new AccessChanges(options)
  }

  get access(): ReadonlyAccess {
    return this.#machine.metadata.access
  }

  changeAccess(edit: AccessEdit): Promise<void> {
    return this.#access.change(edit)
  }

  get topics(): ReadonlyMap<string, TopicConfig> {
    return this.#machine.metadata.topics
  }

  get groups(): ReadonlyMap<string, SubscriptionGroupConfig> {
    return this.#machine.metadata.groups
  }

  get topicsVersion(): DataVersion {
    return this.#versionOf(this.#machine.metadata.topicsVersion)
  }

  get groupsVersion(): DataVersion {
    return this.#versionOf(this.#machine.metadata.groupsVersion)
  }

  async putTopic(topic: TopicConfig): Promise<void> {
    checkTopic(topic)
    await this.#changes.propose({ kind: 'putTopic', topic })
  }

  async createTopic(topic: TopicConfig): Promise<TopicConfig> {
    checkTopic(topic)
    return createOnce(topic.topicName, this.topics, this.#creatingTopics, () =>
      this.#changes.propose({ kind: 'createTopic', topic }),
    )
  }

  async deleteTopic(topicName: string): Promise<void> {
    if (this.topics.has(topicName) || this.#hasMessages(topicName)) {
      await this.#changes.propose({ kind: 'deleteTopic', topicName })
    }
  }

  /** What was sent while its topic was being deleted may lie behind that in the log. */
  #hasMessages(topicName: string): boolean {
    for (const { minOffset, nextOffset } of this.#machine.queues.ofTopic(topicName)) {
      if (minOffset < nextOffset) return true
    }
    return false
  }

  async putGroup(group: SubscriptionGroupConfig): Promise<void> {
    checkGroup(group)
    await this.#changes.propose({ kind: 'putGroup', group })
  }

  async putRequestMode(config: RequestModeConfig): Promise<void> {
    if (config.group === '' || config.topic === '' || !isRequestModeConfig(config)) {
      const what = `no request mode: ${JSON.stringify(config)}`
      throw new StoreError(what, { code: 'INVALID', what })
    }
    await this.#changes.propose({ kind: 'requestMode', ...config })
  }

  async putForbidden(group: string, topic: string, flags: number): Promise<void> {
    const isFlags = Number.isSafeInteger(flags) && flags >= 0
    const what = groupNameError(group) ?? topicNameError(topic) ?? (isFlags ? undefined : `${flags} is no set of flags`)
    if (what !== undefined) throw new StoreError(what, { code: 'INVALID', what })
    await this.#changes.propose({ kind: 'groupForbidden', group, topic, flags })
  }

  /** Everything that is known of where the group stands. */
  async deleteGroupOffsets(groupName: string): Promise<void> {
    const what = groupNameError(groupName)
    if (what !== undefined) throw new StoreError(what, { code: 'INVALID', what })
    await this.#changes.propose({ kind: 'deleteGroupOffsets', groupName })
  }

  async createGroup(group: SubscriptionGroupConfig): Promise<SubscriptionGroupConfig> {
    checkGroup(group)
    return createOnce(group.groupName, this.groups, this.#creatingGroups, () =>
      this.#changes.propose({ kind: 'createGroup', group }),
    )
  }

  async deleteGroup(groupName: string): Promise<void> {
    const { forbidden } = this.#machine.metadata
    if (this.groups.has(groupName) || forbidden.all().has(groupName)) {
      await this.#changes.propose({ kind: 'deleteGroup', groupName })
    }
  }

  #versionOf({ counter, timestamp }: TableVersion): DataVersion {
    return { counter, stateVersion: this.#machine.applied.term, timestamp }
  }
}

/** @returns what is there under `name`, created when it is not; callers at the same time share one creation. */
function createOnce<Config>(
  name: string,
  present: ReadonlyMap<string, Config>,
  creating: Map<string, Promise<Config>>,
  create: () => Promise<void>,
): Promise<Config> {
  const found = present.get(name)
  if (found !== undefined) return Promise.resolve(found)
  const underWay = creating.get(name)
  if (underWay !== undefined) return underWay
  const created = create()
    .then(() => {
      const config = present.get(name)
      if (config !== undefined) return config
      throw new StoreError(`${name} was deleted while it was created`, { code: 'TIMEOUT' })
    })
    .finally(() => creating.delete(name))
  creating.set(name, created)
  return created
}

/** @throws StoreError INVALID. */
function checkTopic(topic: TopicConfig): void {
  const what = isTopicConfig(topic) ? topicNameError(topic.topicName) : 'a topic has all fields of a TopicConfig'
  if (what !== undefined) throw new StoreError(what, { code: 'INVALID', what })
}

/** @throws StoreError INVALID. */
function checkGroup(group: SubscriptionGroupConfig): void {
  const what = isGroupConfig(group)
    ? groupNameError(group.groupName)
    : 'a group has all fields of a SubscriptionGroupConfig'
  if (what !== undefined) throw new StoreError(what, { code: 'INVALID', what })
}
