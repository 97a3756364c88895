/**
 * Policies as a tool gives them: checked, and put to those that are there.
 *
 * Keeps: an entry of a resource replaces those that there were; what cannot be meant is refused, in Apache's words.
 *
 * Source: AuthorizationMetadataManagerImpl.validate, AclConverter, Acl.updatePolicy, Policy.updateEntry.
 */
import type { AclEntryInfo, AclInfo, AclPolicyInfo } from '@dledger-ts/remoting'
import type { AccessEntry, AccessPolicies, AccessPolicy } from '@dledger-ts/store'
import { type Action, ACTIONS } from './policies.ts'
import { parseResource, resourceText } from './resources.ts'
import { parseNetwork } from './source-ips.ts'

/** Entries of one user at most: each request of the user may look at all of them. */
export const ENTRIES_MAX = 1_000

/** What a tool wants cannot be; the message is the remark. */
export class PolicyFault extends Error {}

/** @throws PolicyFault. */
export function policiesOf(info: AclInfo): AccessPolicy[] {
  const policies = info.policies.filter(({ entries }) => entries.length > 0).map(policyOf)
  if (policies.length === 0) throw new PolicyFault('The policies is empty.')
  return policies
}

/** @returns undefined for a text that is none. */
export function policyType(text: string | undefined): AccessPolicy['type'] | undefined {
  const lower = text?.toLowerCase()
  return lower === 'custom' ? 'Custom' : lower === 'default' ? 'Default' : undefined
}

/** @throws PolicyFault. */
export function withPolicies(
  present: AccessPolicies | undefined,
  subject: string,
  added: readonly AccessPolicy[],
): AccessPolicies {
  const policies = new Map((present?.policies ?? []).map((policy) => [policy.type, policy.entries]))
  for (const { type, entries } of added) {
    policies.set(type, merged(policies.get(type) ?? [], entries))
  }
  const all = [...policies].map(([type, entries]) => ({ type, entries }))
  const count = all.reduce((sum, { entries }) => sum + entries.length, 0)
  if (count > ENTRIES_MAX) throw new PolicyFault(`${subject} would have ${count} entries, ${ENTRIES_MAX} are allowed.`)
  return { subject, policies: all }
}

/** In their places. Of a resource that is not meant several entries stay: those that were taken over from ACL 1.0 may have two. */
function merged(present: readonly AccessEntry[], added: readonly AccessEntry[]): AccessEntry[] {
  const left = new Map(added.map((entry) => [entry.resource, entry]))
  const meant = new Set(left.keys())
  const kept = present.flatMap((entry) => {
    if (!meant.has(entry.resource)) return entry
    const instead = left.get(entry.resource)
    left.delete(entry.resource)
    return instead ?? []
  })
  return [...kept, ...left.values()]
}

/** @returns null when nothing is left. @param resource in its own form. */
export function withoutEntry(
  present: AccessPolicies,
  type: AccessPolicy['type'],
  resource: string,
): AccessPolicies | null {
  const policies = present.policies
    .map((policy) =>
      policy.type === type ? { type, entries: policy.entries.filter((entry) => entry.resource !== resource) } : policy,
    )
    .filter(({ entries }) => entries.length > 0)
  return policies.length === 0 ? null : { subject: present.subject, policies }
}

/** @throws PolicyFault. @returns the resource in the form that it is kept in. */
export function resourceOf(text: string | undefined): string {
  const pattern = parseResource(text ?? '')
  if (pattern === undefined) throw new PolicyFault('The resource is null.')
  return resourceText(pattern)
}

function policyOf({ policyType: type, entries }: AclPolicyInfo): AccessPolicy {
  return { type: policyType(type) ?? 'Custom', entries: entries.map(entryOf) }
}

function entryOf({ resource, actions, sourceIps, decision }: AclEntryInfo): AccessEntry {
  const own = resourceOf(resource)
  const known = actions.map(actionOf).filter((action) => action !== undefined)
  if (known.length === 0) throw new PolicyFault('The actions is empty.')
  if (known.includes('Any')) throw new PolicyFault('The actions can not be Any.')
  for (const ip of sourceIps) {
    if (ip.trim() === '') throw new PolicyFault('The source ip is empty.')
    if (parseNetwork(ip) === undefined) throw new PolicyFault('The source ip is invalid.')
  }
  const lower = decision?.toLowerCase()
  if (lower !== 'allow' && lower !== 'deny') throw new PolicyFault('The decision is null or illegal.')
  return { resource: own, actions: known, sourceIps, decision: lower === 'allow' ? 'Allow' : 'Deny' }
}

function actionOf(text: string): Action | undefined {
  return ACTIONS.find((action) => action.toLowerCase() === text.toLowerCase())
}
