/** Settings that anybody may put: how many, and how long. */
import { describe, expect, it } from 'vitest'
import { KeyValueTable } from './key-value-table.ts'

const MIB = 1024 * 1024

describe('a table of settings', () => {
  it('takes no more text than it has room for, and has room again for what is deleted or becomes shorter', () => {
    const table = new KeyValueTable()
    const large = 'x'.repeat(15 * MIB)
    expect([1, 2, 3].map((i) => table.put('n', `k${i}`, large))).toEqual([true, true, false])
    expect(table.get('n', 'k3')).toBeUndefined()
    expect(table.put('n', 'k1', 'short')).toBe(true)
    expect(table.put('n', 'k3', large)).toBe(true)
    expect(table.put('n', 'k1', large)).toBe(false)
    expect(table.get('n', 'k1')).toBe('short')
    table.delete('n', 'k2')
    expect(table.put('n', 'k1', large)).toBe(true)
  })

  it('counts keys and namespaces, also those whose keys are deleted', () => {
    const table = new KeyValueTable()
    let put = 0
    while (table.put(`n${put}`, 'k', 'v')) table.delete(`n${put++}`, 'k')
    expect(put).toBe(99_999)
    expect(table.list('n7')?.size).toBe(0)
    expect(table.put('n7', 'k', 'v')).toBe(true)
    expect(table.put('n7', 'k2', 'v')).toBe(false)
    expect(table.put('n7', 'k', 'other')).toBe(true)
  })
})
