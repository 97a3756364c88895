import { expect, test } from 'vitest'
import { FORMER_LIVES_MAX } from '../transport/greeting.ts'
import { isOlderLife, isOtherBranch, nextLife } from './incarnation.ts'

const random = (nonce: number) => ({ below: () => nonce })

test('a life counts on from the one before and remembers the last ones', () => {
  let lives = nextLife({ incarnation: 0 }, random(1))
  expect(lives).toEqual({ incarnation: 2 ** 20 + 1 })
  for (let i = 2; i < 100; i++) lives = nextLife(lives, random(i))
  expect(lives.incarnation).toBe(99 * 2 ** 20 + 99)
  expect(lives.formerIncarnations).toHaveLength(FORMER_LIVES_MAX)
  expect(lives.formerIncarnations?.at(-1)).toBe(98 * 2 ** 20 + 98)
})

test('two lives that begin from one image tell each other apart, also after further ones', () => {
  const image = nextLife(nextLife({ incarnation: 0 }, random(1)), random(2))
  const seen = nextLife(image, random(3)).incarnation
  let restored = nextLife(image, random(4))
  expect(isOlderLife(restored.incarnation, seen)).toBe(true)
  for (let i = 0; i < FORMER_LIVES_MAX; i++) {
    restored = nextLife(restored, random(10 + i))
    expect(isOlderLife(restored.incarnation, seen)).toBe(false)
    expect(isOtherBranch({ formerIncarnations: restored.formerIncarnations ?? [] }, seen)).toBe(true)
  }
  const legitimate = nextLife({ incarnation: seen, formerIncarnations: image.formerIncarnations ?? [] }, random(9))
  expect(isOtherBranch({ formerIncarnations: legitimate.formerIncarnations ?? [] }, seen)).toBe(false)
})
