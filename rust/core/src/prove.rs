//! The five sums of a Groth16 proof on one queue of tasks.
//!
//!     A = alpha + sum z_i u_i + r delta      (G1)
//!     B = beta  + sum z_i v_i + s delta      (G2, and B' in G1)
//!     C = sum z_i K_i / delta + sum h_j H_j + s A + r B' - r s delta
//!
//! The digits of z over B serve both groups; K and H are one sum. The tasks in G2 are three times
//! as long and go first, so that the threads end together.
//!
//! Source: [Groth16] 3.2.

use std::cmp::Reverse;

use crate::curve::{BaseOf, Curve};
use crate::error::{value, Result};
use crate::msm::{Recoded, Task};
use crate::point::{Point, Xyzz};
use crate::r1cs::{lift, lower, Circuit};
use crate::scalars::{order, signed, Limbs};
use crate::straus;
use crate::sums::{Scratch, Source};
use crate::tasks::Run;

/// A point of G1.
pub type First<C> = Point<BaseOf<<C as Curve>::First>>;
/// A point of G2.
pub type Second<C> = Point<BaseOf<<C as Curve>::Second>>;

/// A proving key, as zkfed/groth16/keys.py has it.
pub struct Key<'a, C: Curve> {
    /// alpha, beta and delta in G1.
    pub first: &'a [First<C>],
    /// beta and delta in G2.
    pub second: &'a [Second<C>],
    pub a_wires: &'a [u32],
    pub a: &'a [First<C>],
    pub b_wires: &'a [u32],
    pub b1: &'a [First<C>],
    pub b2: &'a [Second<C>],
    /// Of the last wires, the private ones.
    pub k: &'a [First<C>],
    /// A power of two, at least one for each row.
    pub h: &'a [First<C>],
}

/// A, B and C.
pub type Proof<C> = (First<C>, Second<C>, First<C>);

impl<C: Curve> Key<'_, C> {
    /// Errors: `Value` if the parts do not fit each other or the circuit.
    pub fn check(&self, circuit: &Circuit<C::Scalar>) -> Result<()> {
        let lengths = [
            ("alpha, beta, delta", self.first.len(), 3),
            ("beta, delta", self.second.len(), 2),
            ("a", self.a.len(), self.a_wires.len()),
            ("b1", self.b1.len(), self.b_wires.len()),
            ("b2", self.b2.len(), self.b_wires.len()),
        ];
        for (name, found, expected) in lengths {
            if found != expected {
                return value(format!("{found} points of {name}, expected {expected}"));
            }
        }
        if self.k.len() > circuit.wires() || !self.h.len().is_power_of_two() || self.h.len() < circuit.rows()
        {
            return value(format!("{} points of k and {} of h do not fit", self.k.len(), self.h.len()));
        }
        if self.k.len() + self.h.len() > 1 << 30 {
            return value("more than 2^30 points");
        }
        if self.a_wires.iter().chain(self.b_wires).any(|&wire| wire as usize >= circuit.wires()) {
            return value(format!("a wire that is not among the {}", circuit.wires()));
        }
        Ok(())
    }
}

/// One sum of the proof in one group: its scalars, its points.
struct Sum<'a, F> {
    scalars: &'a Recoded,
    points: Source<'a, F>,
}

/// Returns the proof of z with the blinding r, s; None if a row does not hold and `is_checked`.
///
/// The key fits the circuit (`Key::check`). Errors: `Value` for a z of another length;
/// `Interrupted`.
pub fn prove<C: Curve>(
    circuit: &Circuit<C::Scalar>,
    key: &Key<'_, C>,
    z: &[Limbs],
    blinding: (Limbs, Limbs),
    is_checked: bool,
    run: Run<'_>,
) -> Result<Option<Proof<C>>> {
    let (mut sides, all_hold) = circuit.evaluate(z, run)?;
    if is_checked && !all_hold {
        return Ok(None);
    }
    for side in &mut sides {
        side.resize(key.h.len(), C::Scalar::from(0u64));
    }
    let h = lower(&C::domains().get(key.h.len())?.quotient(sides, run)?);
    let scalars = recode::<C>(key, z, h, run)?;
    let [a, b, c] = &scalars;
    let first = [
        Sum { scalars: a, points: Source::of(key.a) },
        Sum { scalars: b, points: Source::of(key.b1) },
        Sum { scalars: c, points: Source { low: key.k, high: key.h } },
    ];
    let second = Sum { scalars: b, points: Source::of(key.b2) };
    let ([a, b1, c], b) = sum_all::<C>(&first, &second, run)?;
    Ok(Some(assemble::<C>(key, (a, b1, c, b), blinding)))
}

/// Returns the digits of z over A, of z over B, and of the private part of z followed by h.
fn recode<C: Curve>(key: &Key<'_, C>, z: &[Limbs], h: Vec<Limbs>, run: Run<'_>) -> Result<[Recoded; 3]> {
    let order = order::<C::Scalar>();
    let pick = |wires: &[u32]| -> Vec<Limbs> { wires.iter().map(|&i| z[i as usize]).collect() };
    // The longest first.
    let work = |(): &mut (), i: usize| match i {
        0 => Recoded::new(&[&z[z.len() - key.k.len()..], &h].concat(), &order, run),
        1 => Recoded::new(&pick(key.a_wires), &order, run),
        _ => Recoded::new(&pick(key.b_wires), &order, run),
    };
    let mut all = run.each(3, || (), work)?.into_iter();
    let mut next = || all.next().unwrap_or_else(|| Recoded::new(&[], &order, run));
    let c = next();
    Ok([next(), next(), c])
}

/// A task of one of the sums in G1, or of the one in G2.
enum Job {
    First(usize, Task),
    Second(Task),
}

impl Job {
    /// Returns how long it takes, in additions in G1.
    fn weight(&self) -> usize {
        match self {
            Job::First(_, task) => task.weight(),
            Job::Second(task) => 3 * task.weight(),
        }
    }
}

/// What a job returns.
enum Done<C: Curve> {
    First(Vec<Xyzz<BaseOf<C::First>>>),
    Second(Vec<Xyzz<BaseOf<C::Second>>>),
}

type Totals<C> = ([Xyzz<BaseOf<<C as Curve>::First>>; 3], Xyzz<BaseOf<<C as Curve>::Second>>);

fn sum_all<C: Curve>(
    first: &[Sum<'_, BaseOf<C::First>>; 3],
    second: &Sum<'_, BaseOf<C::Second>>,
    run: Run<'_>,
) -> Result<Totals<C>> {
    let mut jobs: Vec<Job> = second.scalars.tasks(run.threads).into_iter().map(Job::Second).collect();
    for (i, sum) in first.iter().enumerate() {
        jobs.extend(sum.scalars.tasks(run.threads).into_iter().map(|task| Job::First(i, task)));
    }
    jobs.sort_by_key(|job| Reverse(job.weight()));
    run.progress.expect(jobs.iter().map(Job::weight).sum());
    let done = run.each(
        jobs.len(),
        || (Scratch::default(), Scratch::default()),
        |(scratch_1, scratch_2), i| {
            let done = match &jobs[i] {
                Job::First(which, task) => {
                    let sum = &first[*which];
                    Done::<C>::First(sum.scalars.sum_windows(scratch_1, sum.points, task, run))
                }
                Job::Second(task) => {
                    Done::Second(second.scalars.sum_windows(scratch_2, second.points, task, run))
                }
            };
            run.progress.add(jobs[i].weight());
            done
        },
    )?;
    let of_first = |which: usize| {
        let pairs = jobs.iter().zip(&done).filter_map(|pair| match pair {
            (Job::First(i, task), Done::First(sums)) if *i == which => Some((task, sums)),
            _ => None,
        });
        first[which].scalars.finish::<C::First>(first[which].points, pairs)
    };
    let pairs = jobs.iter().zip(&done).filter_map(|pair| match pair {
        (Job::Second(task), Done::Second(sums)) => Some((task, sums)),
        _ => None,
    });
    let of_second = second.scalars.finish::<C::Second>(second.points, pairs);
    Ok(([of_first(0), of_first(1), of_first(2)], of_second))
}

type Sums<C> = (
    Xyzz<BaseOf<<C as Curve>::First>>,
    Xyzz<BaseOf<<C as Curve>::First>>,
    Xyzz<BaseOf<<C as Curve>::First>>,
    Xyzz<BaseOf<<C as Curve>::Second>>,
);

/// Adds the trapdoors' points and the blinding.
fn assemble<C: Curve>(key: &Key<'_, C>, sums: Sums<C>, (r, s): (Limbs, Limbs)) -> Proof<C> {
    let (mut a, mut b1, mut c, mut b) = sums;
    let order = order::<C::Scalar>();
    let rs = lift::<C::Scalar>(&[r, s]);
    let minus_rs = lower(&[-(rs[0] * rs[1])])[0];
    let multiple = |p: First<C>, by: &Limbs| straus::sum::<C::First>(&[(p, signed(by, &order))]);
    let (alpha, beta, delta) = (key.first[0], key.first[1], key.first[2]);
    a.add_affine(&alpha);
    a.add(&multiple(delta, &r));
    b1.add_affine(&beta);
    b1.add(&multiple(delta, &s));
    b.add_affine(&key.second[0]);
    b.add(&straus::sum::<C::Second>(&[(key.second[1], signed(&s, &order))]));
    let affine = Xyzz::to_affine(&[a, b1]);
    c.add(&multiple(affine[0], &s));
    c.add(&multiple(affine[1], &r));
    c.add(&multiple(delta, &minus_rs));
    let first = Xyzz::to_affine(&[a, c]);
    (first[0], Xyzz::to_affine(&[b])[0], first[1])
}
