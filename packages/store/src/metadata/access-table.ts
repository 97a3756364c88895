/**
 * Who may call a broker, and what each may do: users and their policies, in Apache's terms ("ACL 2").
 *
 * The store keeps and replicates them; what they mean is the broker's. A user's password is kept as it was given: it is the key of the
 * signatures that are checked with it.
 *
 * Keeps: the policies of a user go with the user.
 */
export interface AccessUser {
  readonly username: string
  readonly password: string
  /** `Super`: may do everything. */
  readonly type: 'Super' | 'Normal'
  readonly status: 'enable' | 'disable'
}

export interface AccessEntry {
  /** `Topic:name`, `Group:prefix*`, `*`, … */
  readonly resource: string
  /** `Pub`, `Sub`, `All`, … */
  readonly actions: readonly string[]
  /** Addresses and networks it is about; about all when there are none. */
  readonly sourceIps: readonly string[]
  readonly decision: 'Allow' | 'Deny'
}

export interface AccessPolicy {
  /** `Default` ones count where no entry of a `Custom` one matches. */
  readonly type: 'Custom' | 'Default'
  readonly entries: readonly AccessEntry[]
}

export interface AccessPolicies {
  /** `User:name` */
  readonly subject: string
  readonly policies: readonly AccessPolicy[]
}

export function subjectOf(username: string): string {
  return `User:${username}`
}

export class AccessTable {
  readonly users = new Map<string, AccessUser>()
  /** By subject. */
  readonly policies = new Map<string, AccessPolicies>()

  clear(): void {
    this.users.clear()
    this.policies.clear()
  }
}

/** Names are parts of keys, and stand in logs. */
export function isAccessName(name: unknown): name is string {
  // oxlint-disable-next-line no-control-regex
  return typeof name === 'string' && name !== '' && name.length <= 255 && !/[\u0000-\u001f\u007f]/.test(name)
}

export function isAccessUser(value: unknown): value is AccessUser {
  if (typeof value !== 'object' || value === null) return false
  const { username, password, type, status } = value as Record<string, unknown>
  const isSecret = typeof password === 'string' && password !== ''
  const isType = type === 'Super' || type === 'Normal'
  return isAccessName(username) && isSecret && isType && (status === 'enable' || status === 'disable')
}

export function isAccessPolicies(value: unknown): value is AccessPolicies {
  if (typeof value !== 'object' || value === null) return false
  const { subject, policies } = value as Record<string, unknown>
  return isAccessName(subject) && Array.isArray(policies) && policies.every(isPolicy)
}

function isPolicy(value: unknown): value is AccessPolicy {
  if (typeof value !== 'object' || value === null) return false
  const { type, entries } = value as Record<string, unknown>
  return (type === 'Custom' || type === 'Default') && Array.isArray(entries) && entries.every(isEntry)
}

function isEntry(value: unknown): value is AccessEntry {
  if (typeof value !== 'object' || value === null) return false
  const { resource, actions, sourceIps, decision } = value as Record<string, unknown>
  const isDecision = decision === 'Allow' || decision === 'Deny'
  return typeof resource === 'string' && isTexts(actions) && isTexts(sourceIps) && isDecision
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string')
}
